"""Tests that runs with any numbers are reported: equal, nearly equal, huge, tiny and missing ones, and only two of a method."""

import math
import tempfile
import warnings
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import pytest
from fake_run import fake_run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform.report.comparisons import FEWEST
from platform.report.findings import Findings, compute_findings
from platform.report.read_run_folder import read_folder
from platform.report.wording import format_replicates
from search_spaces.claims import Claim, Contrast
from search_spaces.study import STUDIES, Study
from tests.report.sound import rewrite_metrics, write_soundly
from trainables.storage.store import RunFolder

ARMS = ("SL(c)", "UC(c)", "SC(c)")
METRICS = ("test/accuracy", "val/accuracy", "test/balanced_accuracy")
NUMBER = st.one_of(
    st.none(),
    st.sampled_from([0.0, 0.5, 0.5 + 2**-53, 0.5 - 2**-54, 0.7, 1e300, -1e300, 1e-300, 5e-324, -1e-17]),
    st.floats(-1e300, 1e300),
)


@dataclass
class Numbers:
    """Metric values by arm and metric. The trainings of an arm cycle through them."""

    seeds: int
    by_arm: dict[str, dict[str, list[float | None]]]
    paired: bool = True
    with_classes: bool = False
    rope: float = 0.01


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    values = st.lists(NUMBER, min_size=1, max_size=3)
    by_arm = {arm: {metric: draw(values) for metric in METRICS} for arm in ARMS[: draw(st.integers(2, 3))]}
    return Numbers(draw(st.integers(1, 4)), by_arm, draw(st.booleans()))


def run_of(folder: str | Path, given: Numbers) -> tuple[RunFolder, Study]:
    pocket = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("split", ["0.9"]).narrow_axis("ratio", ["5"])
    study = replace(
        pocket.narrow_axis("method", list(given.by_arm)).with_seeds(given.seeds),
        published=(),
        rope=given.rope,
        contrasts=(Contrast("UC(c)", "SL(c)"),),
        claims=(Claim("no worse", {"method": "UC(c)"}, {"method": "SL(c)"}, expect="equivalent"),),
    )
    run, cells = fake_run(Path(folder, "run"), study)
    rewrite_metrics(run, cells, lambda cell, old: old | taken(given, str(cell.axes["method"]), int(cell.axes["seed"] or 0)))
    left_out = () if given.with_classes else ("counts", "confusion")
    for cell in cells:
        result = run.get_result(cell.key) or {}
        result |= {"updated_parameters": 1000} | ({} if given.paired else {"split_hash": ""})
        run.put_result(cell.key, {name: value for name, value in result.items() if name not in left_out})
    return run, study


def taken(given: Numbers, arm: str, seed: int) -> dict[str, float]:
    numbers_by_metric = {metric: values[seed % len(values)] for metric, values in given.by_arm[arm].items()}
    return {metric: float("nan") if value is None else value for metric, value in numbers_by_metric.items()}


def plain(*arms: list[float | None]) -> dict[str, dict[str, list[float | None]]]:
    return {arm: dict.fromkeys(METRICS, values) for arm, values in zip(ARMS, arms, strict=False)}


def examined(given: Numbers) -> Findings:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="error"):
        run, study = run_of(folder, given)
        return compute_findings(read_folder(run, study), run)


NEARLY = [0.5, 0.6, 0.7, 0.8], [0.5 + 1e-4, 0.6 + 1e-4, 0.7 + 1e-4, 0.8 + 1.1e-4]
LAST_DIGIT = [0.5, 0.6, 0.7, 0.8], [0.5 + 1e-16, 0.6 + 1e-16, 0.7 + 1e-16, 0.8 + 3e-16]
WIDE = [1e3, -1e3, 5e2, 1e3], [-1e3, 2e3, 0.0, 3e3]
WINNER_WITHOUT_TEST = {"test/accuracy": [None], "val/accuracy": [1.5e300], "test/balanced_accuracy": [None]}
HUGE = Numbers(3, plain([1e300, -1e300, 3e299], [2e-300, 1e-300, 0.0]) | {"SC(c)": WINNER_WITHOUT_TEST}, with_classes=True)


@settings(max_examples=2)
@given(numbers())
@example(HUGE)
def test_any_numbers_are_reported(given: Numbers) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_soundly(*run_of(folder, given))


@settings(max_examples=25)
@given(numbers())
@example(Numbers(4, plain(*LAST_DIGIT)))
@example(Numbers(2, plain([1e300], [5e299]), paired=False))
def test_any_numbers_have_finite_statistics(given: Numbers) -> None:
    found = examined(given)
    rows = [*found.winner, *found.overall, *found.published, *found.confirmatory, *found.against, *found.pairwise]
    rows += [row.comparison for row in found.contrasts]
    rows += [row for answer in found.answers for row in (answer.whole, *answer.parts) if row]
    for row in rows:
        assert not any(isinstance(value, float) and math.isinf(value) for value in astuple(row))
        assert math.isnan(row.diff_low) or row.diff_low <= row.diff <= row.diff_high
        assert row.n_a * row.n_b == 0 or 0 <= row.a12 <= 1
        chances = row.probably_worse + row.probably_equal + row.probably_better
        assert math.isnan(chances) or chances == pytest.approx(1)
        assert min(row.n_a, row.n_b) < FEWEST or 0 < row.p <= 1
    assert all(number >= 3 for row in found.power for number in row.needed.values())


def test_a_report_says_how_many_seeds_are_needed_where_two_are_and_where_no_study_affords_them(tmp_path: Path) -> None:
    """Differences of 1e-4 with an sd of 5e-6, which floating-point arithmetic may turn into 1e15; and differences of thousands."""
    run, study = run_of(tmp_path, Numbers(4, plain(*NEARLY)))
    report = write_soundly(run, study)
    for power in report.data["power"]:  # of the winner and of the claim
        assert power["paired"] and set(power["needed"].values()) == {3}
    assert "UC(c) against SL(c), paired" in report.page.text
    assert {count for power in examined(Numbers(4, plain(*WIDE))).power for count in power.needed.values()} == {math.inf}
    assert format_replicates(math.inf) == "more than 1,000,000"


@pytest.mark.parametrize("score", [1e300, 0.7, 1e-300])
def test_equal_numbers_of_any_size_have_no_variance(score: float) -> None:
    findings = examined(Numbers(4, plain([score], [score, score * (1 + 2e-16)])))
    (row,) = findings.confirmatory
    assert (row.diff, row.sd, row.a12, row.p, row.note) == (0, 0, 0.5, 1, "no difference in any seed")
    assert [cell.metric and cell.metric.sd for cell in findings.cells] == [0, 0] and findings.power == []


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_a_verdict_does_not_depend_on_the_scale(scale: float) -> None:
    scores = [0.1, 0.2, 0.4, 0.3, 0.2, 0.1, 0.3, 0.4], [0.3, 0.5, 0.6, 0.5, 0.5, 0.3, 0.6, 0.6]
    base, scaled = (examined(Numbers(8, plain(*([size * x for x in arm] for arm in scores)), rope=0.01 * size)) for size in (1.0, scale))
    for a, b in zip(base.pairwise, scaled.pairwise, strict=True):
        assert (b.verdict, b.p_adj) == (a.verdict, pytest.approx(a.p_adj))
        assert (b.diff / scale, b.diff_low / scale, b.sd / scale) == pytest.approx((a.diff, a.diff_low, a.sd))
    (a,), (b,) = ([answer.whole for answer in findings.answers] for findings in (base, scaled))
    assert a and b and a.p == pytest.approx(b.p) and a.verdict == b.verdict == "better"
