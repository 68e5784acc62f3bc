"""The report of a run whose seeds were added until its claims were decided: one verdict for each claim, by the looks, and no fixed test."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform.report.sequential_claims import make_plan
from platform.report.sequential_plan import fix_plan
from platform.report.write_report import write_report
from platform.stats.sequential_design import SequentialDesign, plan_looks
from platform.stats.sequential_tests import run_looks
from search_spaces.claims import Claim
from search_spaces.study import STUDIES, Arm, Study
from tests import fake_blocks
from tests.report.pages import Report, made
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

ARMS = ("base", "far", "near", "below", "noisy", "steps", "broken")
LEVELS = {"base": 0.5, "far": 0.6, "near": 0.502, "below": 0.42, "noisy": 0.5, "steps": 0.51, "broken": 0.56}
SPREADS = {"near": 0.002, "noisy": 0.05, "steps": 0.008}
CLAIMS = {
    "far is better": ("far", "better", "supported", "better"),
    "below is better": ("below", "better", "contradicted", "worse"),
    "near is better": ("near", "better", "contradicted", "equivalent"),
    "near is equal": ("near", "equivalent", "supported", "equivalent"),
    "far is equal": ("far", "equivalent", "contradicted", "better"),
    "steps is equal": ("steps", "equivalent", "open", "open"),
    "noisy is better": ("noisy", "better", "open", "futile"),
    "broken is better": ("broken", "better", "supported", "better"),
}
"""by text: arm against base, what the claim expects, its standing, the decision"""
FAILED = (1, 7)
"""seeds of `broken` that fail"""


def score(cell: Cell) -> float | None:
    arm, seed = str(cell.axes["method"]), int(str(cell.axes["seed"]))
    if arm == "broken" and seed in FAILED:
        return None
    shared = np.random.default_rng([seed]).normal(0, 0.02)
    own = np.random.default_rng([seed, ARMS.index(arm)]).normal(0, SPREADS.get(arm, 0.015))
    if arm == "noisy":
        own = 0.05 * (-1) ** seed + 0.001 * seed
    return float(LEVELS[arm] + shared + (0 if arm == "base" else own))


def make_study() -> Study:
    claims = tuple(
        Claim(text, {"method": arm}, {"method": "base"}, expect=expect)  # type: ignore[arg-type]
        for text, (arm, expect, _, _) in CLAIMS.items()
    )
    absent = Claim("what this grid lacks", {"method": "nothing"}, {"method": "base"})
    axes = {"method": ARMS, "split": (0.5,), "ratio": (1,), "seed": tuple(range(20))}
    arms = {arm: Arm("supervised", {"domain": "c"}) for arm in ARMS}
    pocket = STUDIES.find("adults_as_augmentation")("pocket")
    return replace(pocket, axes=axes, arms=arms, claims=(*claims, absent), published=())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Study, Report]:
    study = make_study()
    blocks = fake_blocks.begin(tmp_path_factory.mktemp("sequential") / "run", study)
    fake_blocks.train(blocks, score)
    return blocks.folder, study, made(blocks.folder, study)


def claims_of(report: Report) -> dict[str, dict[str, Any]]:
    return {claim["text"]: claim for claim in report.data["claims"]}


def test_each_claim_has_the_standing_of_its_decision(done: tuple[RunFolder, Study, Report]) -> None:
    claims = claims_of(done[2])
    found = {text: (claims[text]["standing"], claims[text]["looks"][-1]["decision"]) for text in CLAIMS}
    assert found == {text: (standing, decision) for text, (_, _, standing, decision) in CLAIMS.items()}
    assert claims["what this grid lacks"]["standing"] == "not in this grid" and claims["what this grid lacks"]["looks"] is None
    assert claims["noisy is better"]["reason"] == "given up as futile" and claims["steps is equal"]["reason"] == "undecided"
    assert all(claims[text]["reason"] == "" for text, (_, _, standing, _) in CLAIMS.items() if standing != "open")


def test_the_looks_are_those_of_the_engine(done: tuple[RunFolder, Study, Report]) -> None:
    """The differences come from runs.csv, and the looks from the engine's own call: every number of every look agrees."""
    report = done[2]
    scores = {(row["method"], int(row["seed"])): float(row["test/accuracy"]) for row in report.table if row["state"] == "done"}
    columns = [[scores.get((arm, seed), np.nan) - scores.get(("base", seed), np.nan) for seed in range(20)] for arm, *_ in CLAIMS.values()]
    equal = [number for number, (_, expect, _, _) in enumerate(CLAIMS.values()) if expect == "equivalent"]
    history = run_looks(SequentialDesign(plan_looks(20), margin=done[1].rope), np.array(columns).T, expects_equal=equal)
    for number, text in enumerate(CLAIMS):
        looks = claims_of(report)[text]["looks"]
        expected = list(dict.fromkeys(states[number] for states in history))  # a decided claim keeps its state
        assert [look["look"] for look in looks] == [each.look for each in expected]
        for look, each in zip(looks, expected, strict=True):
            for name, value in each._asdict().items():
                if isinstance(value, float):
                    assert look[name] == (pytest.approx(value, abs=1e-9) if np.isfinite(value) else None), (text, name)
                else:
                    assert look[name] == value


def test_the_estimate_is_that_of_the_last_look(done: tuple[RunFolder, Study, Report]) -> None:
    """Other claims' later seeds change nothing: base has more seeds than most claims use."""
    report = done[2]
    wholes = {row["note"].split("; ")[0]: row for row in report.rows("claims")}
    for text in CLAIMS:
        last, whole = claims_of(report)[text]["looks"][-1], wholes[text]
        assert (whole["diff"], whole["diff_low"], whole["diff_high"]) == (last["mean"], last["low"], last["high"])
        assert (whole["p"], whole["p_adj"], whole["n_a"], whole["test"]) == (None, last["p"], last["n"], "sequential sign flips")
    assert len({claim["looks"][-1]["look"] for claim in claims_of(report).values() if claim["looks"]}) > 1


def test_no_test_of_a_fixed_number_is_made(done: tuple[RunFolder, Study, Report]) -> None:
    data = done[2].data
    assert all(row["p"] is None for row in [*data["comparisons"], *data["pairwise"]])
    assert all(row["verdict"] == "not tested" for row in data["comparisons"] if row["family"] != "claims")
    assert data["power"] == [] and data["power_line"] == "" and data["ranks"] is None
    text = " ".join(data["findings"])
    assert len(re.findall(r"\bp (?:of equivalence )?[=<]", text)) == 6, "one of each decided claim"
    assert not re.search(r"\bt tests?\b", text)


def test_comparisons_that_need_a_fixed_number_have_no_section_and_no_table(done: tuple[RunFolder, Study, Report]) -> None:
    folder, _, report = done
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", report.text("index.html"))
    assert any(heading.startswith("The paper's claims, tested until") for heading in headings)
    for name in ("Across conditions", "Two readings", "Every method against", "Condition by condition", "Power"):
        assert not any(heading.startswith(name) for heading in headings), name
    assert folder.get("report", "tables", "readings.tex") is None and "†" not in report.page.text + report.text("report.md")


def test_what_was_found(done: tuple[RunFolder, Study, Report]) -> None:
    report = done[2]
    first = report.data["findings"][0]
    last = claims_of(report)["far is better"]["looks"][-1]
    interval = f"[{100 * last['low']:+.1f} to {100 * last['high']:+.1f}]"
    p = f"p = {last['p']:.3g}, adjusted for looks and claims, decided at {last['look']} of at most 20 seeds."
    assert first.startswith(f"Supported: far is better. far against base: {100 * last['mean']:+.1f} points {interval}, {p}"), first
    assert "3 supported, 3 contradicted, 1 given up, 1 open, 1 not in this grid" in report.page.text
    assert first in report.page.text


def test_savings_design_and_assumption_are_on_the_page(done: tuple[RunFolder, Study, Report]) -> None:
    folder, _, report = done
    trained, most = len(folder.get_cells()), 7 * 20
    described = report.data["sequential"]["described"]
    assert (described["trained"], described["most_trainings"]) == (trained, most) and trained < most
    for text in (
        f"{trained} of the {most} trainings were made that 20 seeds would take; {most - trained} (",
        "at 6, 8, 10, 12, 15 and 20 seeds every open claim is tested",
        "With 6 and 8 seeds nothing can be rejected.",
        "A family-wise level of 0.05 is spent over the looks by the O'Brien-Fleming type function",
        "symmetric: where a and b do not differ, a seed's difference is as likely as its negative; for equivalence, about plus or minus",
        "2 trainings have failed. A training that has failed when its look is made is not repeated",
        "2 without a difference",
        "given up as futile",
        "AdaStop (Mathieu et al. 2024)",
        "only the claims are tested",
    ):
        assert text in report.page.text, text
    assert report.data["sequential"]["design"]["looks"] == [6, 8, 10, 12, 15, 20]
    assert "Holm's method over the claims" not in report.page.text and "Friedman" not in report.page.text
    assert "| far is better | far | base | 10 |" in report.text("report.md")
    assert "tested sequentially" in report.text("tables", "claims.tex")


def test_a_report_before_the_first_look(tmp_path: Path) -> None:
    study = make_study()
    blocks = fake_blocks.begin(tmp_path / "run", study)
    todo = blocks.advance()
    assert todo
    for cell in todo[:20]:
        fake_blocks.finish(blocks.folder, cell, score)
    report = made(blocks.folder, study)
    assert "Seeds are added until each claim is decided, given up, or has 20 seeds" in report.page.text
    assert {claim["standing"] for claim in claims_of(report).values()} == {"open", "not in this grid"}
    assert "no look yet" in report.page.text and "the grid is not at its end" in report.page.text
    for cell in todo[20:]:
        fake_blocks.finish(blocks.folder, cell, score)
    report = made(blocks.folder, study)
    assert all(not claim["looks"] for claim in claims_of(report).values()), "a failure that no look has counted is repeated"
    assert report.data["not_done"][0]["reason"] == "to be trained again: the loss is nan"
    assert blocks.advance(todo)
    report = made(blocks.folder, study)
    assert all(len(claim["looks"]) == 1 for claim in claims_of(report).values() if claim["looks"] is not None)


def test_the_margin_is_not_changed_afterwards(done: tuple[RunFolder, Study, Report]) -> None:
    folder, study, _ = done
    with pytest.raises(BadRequest, match=r"--rope 0.02: the margin of .* was fixed before its first training"):
        write_report(folder, study, rope=0.02)


def test_a_study_whose_claims_have_changed_is_reported_by_its_own_design(done: tuple[RunFolder, Study, Report]) -> None:
    folder, study, _ = done
    renamed = replace(study, claims=tuple(replace(claim, text=f"new: {claim.text}") for claim in study.claims))
    again = made(folder, renamed)
    assert set(CLAIMS) <= set(claims_of(again))
    with pytest.raises(BadRequest, match="without the claim 'far is better'"):
        fix_plan(folder, make_plan(renamed, fake_blocks.make_cells(renamed), 20))
    made(folder, study)
