"""Formats numbers and sentences for the reader."""

from collections import Counter
from dataclasses import dataclass
from math import floor, isfinite, log10

import numpy as np

from platform.report.claim_tests import NO_SCORES, NOT_IN_GRID, NOT_TESTED, ClaimAnswer
from platform.report.classes import ClassRecalls
from platform.report.comparisons import PAIRED, UNPAIRED, Comparison
from platform.report.runs_table import Runs, format_condition
from platform.report.typical_spread import measure_typical_spread
from platform.stats.power import MOST_REPLICATES

NONE = "–"
AVERAGE = "average accuracy (mean recall over classes, balanced accuracy)"
"""the paper's name for what others call balanced accuracy, with both names"""
LARGE, SMALL = 1e12, 1e-4
"""numbers of LARGE or more, and metrics below SMALL, are written with a power of ten: 1e+300"""
BEYOND = 1e4
"""so are numbers that are so many times as large as the scores, such as a mean beside a diverged training"""


@dataclass(frozen=True)
class Unit:
    """How a metric is written: a share in percent and its differences in points, or plain numbers with these digits."""

    percent: bool
    digits: int = 1
    small: bool = False
    """numbers of the metric, but for a few, are below SMALL, so powers of ten are written out"""
    large: float = LARGE
    """numbers of this size or more are written with a power of ten"""

    @classmethod
    def from_runs(cls, runs: Runs) -> "Unit":
        """Return percent for a share, else as many decimals as show two significant digits of the spread between replicates.

        Neither a diverged training nor an arm that lies apart changes the digits.
        """
        if runs.design.percent:
            return cls(True)
        spread, sizes = measure_typical_spread(runs), np.abs(runs.table[runs.design.metric].to_numpy(float))
        sizes = sizes[np.isfinite(sizes)]
        large = float(np.quantile(sizes, 0.9, method="lower")) if len(sizes) else 0.0
        digits = min(6, max(0, 1 - floor(log10(spread)))) if isfinite(spread) else 2
        return cls(False, digits, 0 < large < SMALL, min(LARGE, BEYOND * large) if large else LARGE)

    @property
    def sign(self) -> str:
        return ", %" if self.percent else ""

    def format_value(self, x: float | None) -> str:
        return self._format_number(x, "z")  # z: a number that rounds to 0 has no sign

    def format_difference(self, x: float | None) -> str:
        """Format a difference with its sign."""
        return self._format_number(x, "+")

    def _format_number(self, x: float | None, sign: str) -> str:
        if x is None or not isfinite(x):
            return NONE
        number = (100 * x if self.percent else x) + 0.0  # turns -0.0 into 0
        digits = f".{self.digits}f" if abs(number) < self.large and not self.small else ".4g"
        return f"{number:{sign}{digits}}".replace("-", "−")

    def format_amount(self, x: float) -> str:
        """Format a difference without its sign and with its unit."""
        number = self.format_value(abs(x))
        if x and isfinite(x) and not number.strip("0."):
            number = f"{abs(x) * (100 if self.percent else 1):.2g}"  # "differences of 0.00 or more" would say nothing
        return f"{number} {'points' if self.percent else ''}".rstrip()

    def format_interval(self, low: float, high: float) -> str:
        return f"{self.format_difference(low)} to {self.format_difference(high)}" if isfinite(low) else NONE


def spell_metric(metric: str) -> str:
    """Return a metric's name in words: `val/balanced_accuracy` as "validation balanced accuracy"."""
    part, slash, name = metric.partition("/")
    return f"{'validation' if part == 'val' else part} {name}".replace("_", " ") if slash else "validation" if metric == "val" else metric


def define_metric(metric: str) -> str:
    """Return a metric's name in words, and average accuracy by all its names."""
    return spell_metric(metric).replace("balanced accuracy", AVERAGE)


def format_probability(p: float | None) -> str:
    """Format a p with three significant digits, and never as 0."""
    return NONE if p is None or not isfinite(p) else "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def format_chance(probability: float) -> str:
    """Format a probability of a statement with two digits, and never as certain."""
    if not isfinite(probability):
        return NONE
    return "< 0.01" if probability < 0.01 else "> 0.99" if probability > 0.99 else f"{probability:.2f}"


def format_a12(a12: float | None) -> str:
    return NONE if a12 is None or not isfinite(a12) else f"{a12:.2f}"


def format_replicates(number: float) -> str:
    """Format the number of replicates that are needed."""
    return f"{number:,.0f}" if isfinite(number) else f"more than {MOST_REPLICATES:,}"


def format_hours(seconds: float) -> str:
    if not isfinite(seconds):
        return NONE
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def describe_comparison(row: Comparison, runs: Runs) -> str:
    """Return what the winner's comparison found, over all conditions or under one, in one or two plain sentences."""
    where = f"At {format_condition(row.condition)}, " if row.condition else ""
    if not min(row.n_a, row.n_b):
        return f"{where}{row.a} and {row.b} cannot be compared: {row.note}."
    picked = "best on validation" if runs.design.selector and row.selected_by == runs.design.selector else "best on test"
    a, b, numbers = f"{row.a} ({picked})", row.b, describe_numbers(row, runs) + ("; exploratory" if "exploratory" in row.note else "")
    within = Unit.from_runs(runs).format_amount(runs.design.rope or 0)
    if row.verdict == "better":
        small = f", though by less than the margin of {within}" if row.is_equivalent else ""
        return f"{where}{a} is better than {b}{small}: {numbers}."
    if row.verdict == "worse":
        return f"{where}{row.a}, though {picked}, is worse than {b}: {numbers}."
    if row.verdict == "equivalent":
        return f"{where}{a} and {b} are equivalent (margin {within}): {numbers}."
    if row.verdict == "not tested":
        return f"{where}{a} and {b} are not tested ({row.note}). Measured: {numbers}."
    return f"{where}{a} and {b} do not differ significantly: {numbers}. {describe_evidence(row, runs)}".rstrip()


def describe_winner(row: Comparison, runs: Runs) -> str:
    """Return the result of the winner's comparison over all conditions, with its notes."""
    over = "Over all conditions: " if len(runs.conditions) > 1 else ""
    parts = [part for part in row.note.split("; ") if not part.startswith("over ") and "exploratory" not in part and "no test" not in part]
    note = f" Note: {'; '.join(filter(None, parts))}." if any(parts) else ""
    return f"{over}{describe_comparison(row, runs)}{note}"


def describe_numbers(row: Comparison, runs: Runs) -> str:
    """Return a comparison's difference, its interval, its p and the number of replicates."""
    parts = [_describe_difference(row, Unit.from_runs(runs))]
    if isfinite(row.p):
        named = "" if row.test in (PAIRED, UNPAIRED) else f" ({row.test})"
        adjusted = f" ({format_probability(row.p_adj)} adjusted for {row.m} tests)" if row.m > 1 and isfinite(row.p_adj) else ""
        parts.append(f"p {_format_equality(format_probability(row.p))}{named}{adjusted}")
    n = f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a} and {row.n_b}"
    return ", ".join([*parts, f"{n} {runs.design.replicated}{'' if n == '1' else 's'}"])


def describe_evidence(row: Comparison, runs: Runs) -> str:
    """Return where the true difference probably lies, as a sentence. Empty where the scores do not vary."""
    if not isfinite(row.probably_better):
        return ""
    if not runs.design.rope:
        return f"Posterior probability that {row.a} is the better one: {format_chance(row.probably_better)}."
    chances = ", ".join(map(format_chance, (row.probably_worse, row.probably_equal, row.probably_better)))
    margin = Unit.from_runs(runs).format_amount(runs.design.rope)
    return f"Posterior probability that {row.a} is worse by more than the margin of {margin}, within it, or better by more: {chances}."


def format_evidence(row: Comparison, runs: Runs) -> str:
    """Return where the true difference probably lies, as a table's entry: worse, within the margin, better; without a margin, better."""
    chances = (row.probably_worse, row.probably_equal, row.probably_better) if runs.design.rope else (row.probably_better,)
    return NONE if not isfinite(row.probably_better) else ", ".join(map(format_chance, chances))


def explain_evidence(runs: Runs) -> str:
    """Return an explanation of the posterior probabilities that stand beside a comparison."""
    if not runs.design.rope:
        return (
            "Probably better: the posterior probability that the first is the better one; with a flat prior, and not adjusted for the "
            "number of comparisons. It describes and is no verdict."
        )
    margin = Unit.from_runs(runs).format_amount(runs.design.rope)
    return (
        f"Probably worse, within, better: the posterior probabilities that the first is worse by more than the margin of {margin}, that "
        "the difference lies within it, and that the first is better by more; with a flat prior, and not adjusted for the number of "
        "comparisons. They describe and are no verdict."
    )


def describe_claim(answer: ClaimAnswer, runs: Runs) -> str:
    """Return what the results say of a claim: its standing, its text and its numbers."""
    sentence = f"{answer.standing.capitalize()}: {answer.claim.text}."
    if answer.whole is None:
        return sentence
    remarks = "".join(f" {remark[0].upper()}{remark[1:]}." for remark in answer.remarks)
    numbers = describe_numbers(answer.whole, runs) if answer.looks is None else describe_last_look(answer, runs)
    numbers += f"; {equality}" if (equality := describe_equality(answer)) else ""
    return f"{sentence} {answer.whole.a} against {answer.whole.b}: {numbers}.{remarks}"


def describe_equality(answer: ClaimAnswer) -> str:
    """Return both p of a claim of equivalence that a fixed number of seeds has tested, as a phrase. Empty for other claims."""
    if answer.whole is None or not isfinite(answer.p_beyond):
        return ""
    equal, beyond = map(format_probability, (answer.whole.p_equivalence_adj, answer.p_beyond))
    return f"adjusted p of equivalence {equal}, of a difference beyond the margin {beyond}"


def describe_last_look(answer: ClaimAnswer, runs: Runs) -> str:
    """Return a sequentially tested claim's difference, its repeated interval, the p that decided it, and the look."""
    assert answer.whole and answer.looks and runs.plan
    last, difference = answer.looks[-1], _describe_difference(answer.whole, Unit.from_runs(runs))
    p, name = (last.p_equivalence, "p of equivalence") if last.decision == "equivalent" else (last.p, "p")
    adjusted = f"{name} {_format_equality(format_probability(p))}, adjusted for looks and claims"
    return f"{difference}, {adjusted}, decided at {last.look} of at most {runs.plan.design.most} {runs.design.replicated}s"


def summarise_claims(answers: list[ClaimAnswer]) -> str:
    """Return how many of the paper's claims are supported, contradicted and open. Empty without claims."""
    counts = Counter("given up" if answer.is_given_up else answer.standing for answer in answers)
    order = ("supported", "contradicted", "given up", "open", NOT_TESTED, NO_SCORES, NOT_IN_GRID)
    return f"The paper's claims: {', '.join(f'{counts[name]} {name}' for name in order if counts[name])}." if answers else ""


def list_findings(runs: Runs, answers: list[ClaimAnswer], winner: list[Comparison], classes: list[ClassRecalls]) -> list[str]:
    """Return the sentences that a report begins with: decided claims, the winner over all conditions, classes below chance."""
    decided = [describe_claim(answer, runs) for answer in answers if answer.standing in ("supported", "contradicted")]
    sentences = [describe_winner(row, runs) for row in winner]
    return [*decided, *filter(None, [summarise_claims(answers)]), *sentences, *describe_unread_classes(runs, classes)]


def describe_power(runs: Runs, winner: list[Comparison], claims: list[Comparison], single: list[Comparison]) -> str:
    """Return which true differences the tests of the winner, of the claims and of single conditions find, in one sentence."""
    if runs.plan:
        return ""
    unit, parts = Unit.from_runs(runs), []
    several = len(runs.conditions) > 1
    for rows, what in ((winner, "the winner's test"), (claims, "the claims'"), (single if several else [], "those of single conditions")):
        sizes = sorted(row.mde for row in rows if isfinite(row.mde) and row.mde > 0)
        if sizes:
            amounts = [unit.format_amount(size) if size < 1 or not unit.percent else "more than 100 points" for size in sizes]
            least, most = amounts[0], amounts[-1]
            parts.append(f"{what} {most if least == most else f'{least} to {most}'}".replace(" points to", " to"))
    if not parts:
        return ""
    return f"True differences found with a probability of 80 %, if the measured spread is the true one: {', '.join(parts)}."


def describe_unread_classes(runs: Runs, rows: list[ClassRecalls]) -> list[str]:
    """Return a sentence for each of the table's conditions with classes whose recall lies below chance (`ClassRecalls.low`).

    The recalls are those over the trainings that are tested.
    """
    sentences, share = [], Unit(True).format_value
    for condition in runs.table_conditions:
        condition_rows, parts = [row for row in rows if row.condition == condition], []
        for k, name in enumerate(condition_rows[0].classes if condition_rows else []):
            recalls = {row.arm: tested.mean for row in condition_rows if name in row.low and (tested := row.tested[k])}
            if len(recalls) == len(condition_rows) > 2:
                ends = dict.fromkeys(map(share, (min(recalls.values()), max(recalls.values()))))
                parts.append(f"{name} by all {len(recalls)} ({' to '.join(ends)} %)")
            elif recalls:
                parts.append(f"{name} by {', '.join(f'{arm} ({share(mean)} %)' for arm, mean in recalls.items())}")
        if parts:
            where = f"At {format_condition(condition)}, r" if condition else "R"
            chance = " or ".join(dict.fromkeys(share(row.chance) for row in condition_rows))
            test = f"one-sided t tests, adjusted p ≤ .05 over {condition_rows[0].m}"
            left_out = [f"{row.arm}, {row.constant} of {row.n}" for row in condition_rows if row.constant and row.low]
            end = f" Left out, as they predict the same class for every image: {'; '.join(left_out)} trainings." if left_out else ""
            sentences.append(f"{where}ecall is below chance ({chance} %; {test}): {'; '.join(parts)}.{end}")
    return sentences


def _describe_difference(row: Comparison, unit: Unit) -> str:
    """Return a difference with its unit, and with its interval if it has one."""
    interval = f" [{unit.format_interval(row.diff_low, row.diff_high)}]" if isfinite(row.diff_low) else ""
    return f"{unit.format_difference(row.diff)}{' points' if unit.percent else ''}{interval}"


def _format_equality(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
