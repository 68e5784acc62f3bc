"""A report says the same on every processor: the last digits of trained numbers change no verdict, no sign and no order."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fake_run import fake_run

from platform.report import descriptive_statistics
from platform.report.build_report_files import list_comparisons
from platform.report.class_subset_gain import _pair_accuracies
from platform.report.comparisons import Comparison
from platform.report.findings import Findings, compute_findings
from platform.report.read_run_folder import read_folder
from platform.report.runs_table import Design, Runs
from search_spaces.claims import Claim, Confusion, Contrast
from search_spaces.study import STUDIES, Study
from tests.report.sound import rewrite_metrics, write_soundly
from trainables.cell import Cell
from trainables.storage.store import RunFolder

ARMS = ("SL(c)", "UC(c)", "SC(c)")
Run = tuple[RunFolder, list[Cell], Study]


def run_of(folder: Path) -> Run:
    """Return a run. UC(c) scores like SL(c), image for image. SC(c) is better. Validation scores are multiples of 1/140, too."""
    pocket = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("ratio", ["5"]).narrow_axis("method", list(ARMS))
    study = replace(
        pocket.with_seeds(8),
        contrasts=(Contrast("UC(c)", "SL(c)"), Contrast("SC(c)", "SL(c)")),
        confusions=(Confusion("fear", "surprise"),),
        claims=(
            Claim("UC(c) is above SL(c)", {"method": "UC(c)"}, {"method": "SL(c)"}),
            Claim("SC(c) is above SL(c)", {"method": "SC(c)"}, {"method": "SL(c)"}),
            Claim("gains", *({"method": arm, "split": split} for split in (0.9, 0.5) for arm in ("UC(c)", "SL(c)"))),
        ),
    )
    run, cells = fake_run(folder / "run", study)
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def change(cell: Cell, old: dict[str, Any]) -> dict[str, Any]:
        new = old | {"val/accuracy": round(140 * old["val/accuracy"]) / 140}
        return known.setdefault((cell.axes["method"] == "SC(c)", cell.axes["split"], cell.axes["seed"]), new)

    rewrite_metrics(run, cells, change)
    return run, cells, study


def perturb(run: Run, seed: int) -> None:
    """Change every trained number by 1e-16 to 1e-12 of itself, as another processor might have."""
    folder, cells, _ = run
    rng = np.random.default_rng(seed)

    def noisy(x: Any) -> Any:
        return x * (1 + rng.choice([-1, 1], np.shape(x)) * 10 ** rng.uniform(-16, -12, np.shape(x)))

    for cell in cells:
        result = folder.get_result(cell.key) or {}
        metrics = {name: float(noisy(value)) for name, value in result["metrics"].items()}
        arrays = folder.get_predictions(cell.key)
        folder.put_predictions(cell.key, **arrays | {"probabilities": noisy(arrays["probabilities"])})
        folder.put_result(cell.key, result | {"metrics": metrics, "seconds": float(noisy(result["seconds"]))})


def decided(found: Findings) -> str:
    """Return what a reader takes from a report: comparisons, directions, certainty and wording. It is text, so that NaN equals NaN."""

    def row(each: Comparison) -> tuple[Any, ...]:
        numbers = (each.statistic, each.p, each.p_adj, each.p_rank, each.p_flip, each.a12, each.a12_low, each.diff, each.sd)
        words = (each.family, str(each.condition), each.a, each.b, each.test, each.verdict, each.note)
        return *words, *(round(number, 9) + 0.0 for number in numbers)

    rows: list[Any] = [row(comparison) for comparison in (*list_comparisons(found), *found.pairwise)]
    rows += [(answer.claim.text, answer.standing) for answer in found.answers] + [found.reference, found.tied, found.far_below]
    rows += [
        (agreement.picked, agreement.best, round(agreement.optimism, 9) + 0.0, round(agreement.regret, 9) + 0.0)
        for agreement in found.agreement
    ]
    rows += [(group.arm, group.group, round(group.over_replicates.mean, 9)) for group in found.groups]
    rows += [(confusion.arm, confusion.verdict, confusion.place) for confusion in found.confused]
    return repr(rows + [sorted(power.needed.items()) for power in found.power])


def test_last_digits_decide_nothing(tmp_path: Path) -> None:
    folder, _, study = run_of(tmp_path / "exact")
    expected = decided(compute_findings(read_folder(folder, study), folder))
    for seed in range(2):
        other = run_of(tmp_path / str(seed))
        perturb(other, seed)
        assert decided(compute_findings(read_folder(other[0], study), other[0])) == expected
    report = write_soundly(other[0], study)
    twins = [row for row in report.data["pairwise"] if {row["a"], row["b"]} == {"SL(c)", "UC(c)"}]
    paired = [row for row in twins if row["paired"]]
    assert paired and all((row["diff"], row["a12"], row["p"], row["verdict"]) == (0, 0.5, 1, "inconclusive") for row in paired)
    assert {row["note"] for row in paired} == {"no difference in any seed"}
    assert {claim["text"]: claim["standing"] for claim in report.data["claims"]} == {
        "UC(c) is above SL(c)": "open",  # that scores are equal does not show how far those of other seeds would differ
        "SC(c) is above SL(c)": "supported",
        "gains": "open",
    }
    assert not re.search(r"−0\.0+(?!\d)", report.page.text)


def test_answers_that_are_equally_likely_are_picked_the_same() -> None:
    names, subset = ["anger", "fear", "sadness"], ["anger", "sadness"]
    for noise in (-1e-12, 0.0, 1e-12):
        probabilities = np.array([[0.4 + noise, 0.2, 0.4], [0.25 - noise, 0.5, 0.25]])
        full = {"label": np.array([0, 0]), "index": np.arange(2), "probabilities": probabilities}
        reduced = full | {"probabilities": probabilities[:, [0, 2]]}
        assert _pair_accuracies((names, full), (subset, reduced)) == (0.5, 1.0, 1.0, 1 / 3, 1 / 2)


def test_an_arm_at_the_bar_is_not_far_below() -> None:
    """The bar is half of the best arm's lead over chance: 0.35, where the best arm has 0.6 and chance is 0.1."""
    table = pd.DataFrame({"method": ["A", "B", "B"], "seed": [0, 0, 1], "state": "done", "reason": "", "split_hash": ""})
    for noise in (-1e-13, 0.0, 1e-13):
        runs = Runs(Design("t", "t", "method", "seed", (), metric="test", selector=None), table.assign(test=[0.6, 0.3, 0.4 + noise]))
        assert (
            descriptive_statistics.find_weak_arms(
                runs, descriptive_statistics.summarise_conditions(runs), [descriptive_statistics.ChanceLevel({}, 0.1, 0.1, 0.1)]
            )
            == []
        )
