"""The tables that a paper can take over, as plain text in rows. latex_and_markdown.py writes them as LaTeX and Markdown."""

from dataclasses import dataclass, field

import numpy as np

from platform.report import wording
from platform.report.claim_tests import ClaimAnswer
from platform.report.classes import ClassRecalls, count_class_images, merge_names
from platform.report.comparison_families import rank_arms
from platform.report.comparisons import Comparison
from platform.report.contrasts import ContrastRow
from platform.report.descriptive_statistics import ChanceLevel, ConditionSummary
from platform.report.runs_table import Runs, format_condition
from platform.report.training_amounts import list_training_amounts
from platform.report.wording import NONE, Unit, format_a12, format_probability


@dataclass(frozen=True)
class Text:
    """A table's entry and its emphasis."""

    text: str
    mark: str = ""
    """"best", "second" or "" """
    tied: bool = False
    beside: str = ""
    """a second number after a slash, which the marks do not apply to"""


@dataclass(frozen=True)
class Table:
    """A table. `rows` hold one entry per column; a row of a single Text is a heading within the table."""

    name: str
    caption: str
    head: list[str]
    numeric: list[bool]
    rows: list[list[Text]] = field(default_factory=list)

    def add_row(self, *entries: str | Text) -> None:
        self.rows.append([entry if isinstance(entry, Text) else Text(entry) for entry in entries])


def build_readings_table(runs: Runs, published: list[Comparison], confirmatory: list[Comparison]) -> Table:
    """Build the paper's table as published, as a strict reviewer would have it, and as the paper printed it."""
    unit, d = Unit.from_runs(runs), runs.design
    strict = "confirmatory" if d.selector else "by the test scores"
    m = confirmatory[0].m if confirmatory else 0
    caption = (
        f"Best and runner-up by mean {wording.spell_metric(d.metric)}, one-sided exact Mann-Whitney test, uncorrected (as published); the "
        f"winner by {wording.spell_metric(d.selector or d.metric)} against {d.baseline or 'its runner-up'}, two-sided t test, Holm over "
        f"{m} ({strict}). Difference{unit.sign.replace('%', 'points')} with 95 % interval; n trainings a side."
    )
    head = ["condition", "reading", "first", "second", "n", "difference", "A12", "p", "verdict on the first"]
    table = Table("readings", caption, head, [False] * 4 + [True] * 4 + [False])
    for condition in runs.table_conditions:
        for reading, rows in (("as published", published), (strict, confirmatory)):
            for row in (row for row in rows if row.condition == condition):
                p = row.p if reading == "as published" else row.p_adj
                table.add_row(format_condition(condition), reading, row.a, row.b, *_format_numbers(row, unit, p), row.verdict)
        for printed in d.published:
            if printed.condition.items() <= condition.items():
                scores = f"{printed.best} ({printed.best_score})", f"{printed.runner_up} ({printed.runner_up_score})"
                table.add_row(
                    format_condition(condition),
                    "printed in the paper",
                    *scores,
                    NONE,
                    NONE,
                    NONE,
                    wording.format_probability(printed.p),
                    NONE,
                )
    return table


def build_ranking_table(runs: Runs, published: list[Comparison]) -> Table:
    """Build the table of best and runner-up in the paper's columns: what was measured, and what the paper printed for that condition."""
    unit, d = Unit.from_runs(runs), runs.design
    caption = (
        f"Best and runner-up by mean {wording.spell_metric(d.metric)}{unit.sign}, and p of the one-sided exact Mann-Whitney test: measured "
        f"here, and printed in the paper{f' at its own largest {runs.along}' if runs.at_largest else ''}."
    )
    table = Table(
        "ranking", caption, ["condition", "of", "best", "score", "runner-up", "score", "p"], [False] * 3 + [True, False, True, True]
    )
    for condition in runs.table_conditions:
        for row in (row for row in published if row.condition == condition):
            scores = (unit.format_value(float(np.mean(runs.get_sample(arm, condition).to_array()))) for arm in (row.a, row.b))
            best, runner_up = scores
            table.add_row(format_condition(condition), "measured", row.a, best, row.b, runner_up, format_probability(row.p))
        for printed in (printed for printed in d.published if printed.condition.items() <= condition.items()):
            numbers = f"{printed.best_score:g}", printed.runner_up, f"{printed.runner_up_score:g}", format_probability(printed.p)
            table.add_row(format_condition(condition), "printed", printed.best, *numbers)
    return table


def build_means_table(runs: Runs, cells: list[ConditionSummary], floors: list[ChanceLevel], tied: dict[str, set[str]]) -> Table:
    """Build the table of means with standard deviations: one row per arm, one column per point.

    `tied` holds, by condition, the arms that are not told apart from the best.
    """
    unit, along = Unit.from_runs(runs), runs.along
    columns = [f"{along} = {point}" for point in runs.points] if along else [runs.design.metric]
    caption = (
        f"{wording.spell_metric(runs.design.metric).capitalize()}{unit.sign}: mean ± standard deviation over {runs.design.replicated}s "
        "(n in brackets where some are missing). Best mean in bold, second underlined"
        f"{'' if runs.plan else ', † not significantly different from the best (exploratory)'}."
    )
    if second := runs.design.secondary:
        caption += f" After the slash: mean {wording.define_metric(second)}."
    table = Table("means", caption, [runs.design.compared, *columns], [False] + [True] * len(columns))
    cells_by_label = {(row.arm, format_condition(row.condition)): row for row in cells}
    floors_by_label = {format_condition(floor.condition): floor for floor in floors}
    for panel in runs.panels:
        if panel:
            table.add_row(format_condition(panel))
        conditions = [runs.get_condition(panel, point) for point in runs.points]
        labels = [format_condition(condition) for condition in conditions]
        order = {format_condition(condition): rank_arms(runs, condition) for condition in conditions}
        for arm in runs.arms:
            entries = []
            for label in labels:
                row = cells_by_label.get((arm, label))
                if row is None or row.metric is None:
                    entries.append(Text(f"{NONE} ({row.done}/{row.planned})" if row and row.planned else NONE))
                    continue
                count = "" if row.done == row.planned else f" ({row.done}/{row.planned})"
                mark = {0: "best", 1: "second"}.get(order[label].index(arm), "")
                text = f"{unit.format_value(row.metric.mean)} ± {unit.format_value(row.metric.sd)}{count}"
                beside = unit.format_value(row.secondary.mean) if row.secondary else ""
                entries.append(Text(text, mark, arm in tied.get(label, ()), beside))
            table.add_row(arm, *entries)
        for name, share in (("chance", "chance"), ("majority class", "majority")) if floors_by_label else ():
            table.add_row(
                name, *(unit.format_value(getattr(floors_by_label[label], share)) if label in floors_by_label else NONE for label in labels)
            )
    return table


def build_contrasts_table(runs: Runs, rows: list[ContrastRow]) -> Table:
    """Build the table of contrasts, with and without, at every condition."""
    unit = Unit.from_runs(runs)
    caption = (
        f"With against without, {wording.spell_metric(runs.design.metric)}{unit.sign}: means. "
        f"Difference{unit.sign.replace('%', 'points')} with 95 % interval, two-sided t test, Holm over the table of {len(rows)}."
    )
    head = ["condition", "with", "without", "with, mean", "without, mean", "n", "difference", "A12", "p", "with is"]
    table = Table("contrasts", caption, head, [False] * 3 + [True] * 6 + [False])
    for row in rows:
        scores = (unit.format_value(interval.mean) for interval in (row.a, row.b))
        comparison = row.comparison
        table.add_row(
            format_condition(comparison.condition),
            comparison.a,
            comparison.b,
            *scores,
            *_format_numbers(comparison, unit, comparison.p_adj),
            comparison.verdict,
        )
    return table


def build_recall_table(runs: Runs, rows: list[ClassRecalls], cells: list[ConditionSummary]) -> Table:
    """Build the table of the recall of every class, with its standard deviation, at the table's conditions.

    It has one row per arm, then the images of a test set.
    """
    share, planned = Unit(True).format_value, {(row.arm, format_condition(row.condition)): row.planned for row in cells}
    shown = [row for row in rows if row.condition in runs.table_conditions]
    names = merge_names(row.classes for row in shown)
    caption = (
        f"Recall of each class on the test set, %: mean ± standard deviation over {runs.design.replicated}s (n in brackets where some are "
        "missing). Average: average accuracy, the mean recall over the classes that have images. Images: of the class in one test set."
    )
    table = Table("recall", caption, [runs.design.compared, *names, "average"], [False] + [True] * (len(names) + 1))
    for condition in runs.table_conditions:
        condition_rows = [row for row in shown if row.condition == condition]
        if condition_rows and condition:
            table.add_row(format_condition(condition))
        for row in condition_rows:
            n_planned = planned[row.arm, format_condition(condition)]
            scores = [
                f"{share(interval.mean)} ± {share(interval.sd)}" if interval else "no images" for interval in (*row.recall, row.average)
            ]
            of_class = dict(zip(row.classes, scores, strict=False))
            arm = row.arm if row.n == n_planned else f"{row.arm} ({row.n}/{n_planned})"
            table.add_row(arm, *(of_class.get(name, NONE) for name in names), scores[-1])
        if condition_rows:
            of_class = dict(zip(condition_rows[0].classes, count_class_images(condition_rows), strict=True))
            table.add_row("images", *(of_class.get(name, NONE) for name in names), NONE)
    return table


def build_sequential_table(runs: Runs, rows: list[ClaimAnswer]) -> Table:
    """Build the table of claims that were tested until they were decided, each with its last look."""
    unit = Unit.from_runs(runs)
    caption = (
        f"The paper's claims, tested sequentially. Difference{unit.sign.replace('%', 'points')} with the repeated 95 % interval; p "
        f"adjusted for looks and claims; {runs.design.replicated}s up to the decision."
    )
    head = ["claim", "a", "b", f"{runs.design.replicated}s", "difference", "adjusted p", "p of equivalence", "decision on a", "claim"]
    table = Table("claims", caption, head, [False] * 3 + [True] * 4 + [False] * 2)
    for answer in rows:
        if answer.whole is None or not answer.looks:
            table.add_row(answer.claim.text, *[NONE] * 7, answer.standing)
            continue
        whole, last = answer.whole, answer.looks[-1]
        numbers = (str(last.look), _format_difference(whole, unit), format_probability(last.p), format_probability(last.p_equivalence))
        table.add_row(answer.claim.text, whole.a, whole.b, *numbers, last.decision, answer.standing)
    return table


def build_claims_table(runs: Runs, rows: list[ClaimAnswer]) -> Table:
    """Build the table of the study's claims, each with the verdict on the whole and the verdicts under its conditions."""
    if runs.plan:
        return build_sequential_table(runs, rows)
    unit = Unit.from_runs(runs)
    where = f"t tests over {runs.design.replicated}s, each with its mean over the claim's conditions, Holm over claims"
    caption = (
        f"The paper's claims. Difference{unit.sign.replace('%', 'points')} with 95 % interval: {where}. {wording.explain_evidence(runs)}"
    )
    if any(answer.claim.between and answer.whole for answer in rows):
        caption += " The intervals of claimed ranges hold for all of them together."
    evidence = "probably worse, within, better" if runs.design.rope else "probably better"
    head = ["claim", "a", "b", "n", "difference", "A12", "adjusted p", evidence, "a is", "claim", "by condition"]
    table = Table("claims", caption, head, [False] * 3 + [True] * 5 + [False] * 3)
    for answer in rows:
        claim, whole, parts = answer.claim, answer.whole, answer.parts
        if whole is None:
            table.add_row(claim.text, *[NONE] * 8, answer.standing, NONE)
        else:
            counts = ", ".join(
                f"{verdict} {sum(part.verdict == verdict for part in parts)}" for verdict in dict.fromkeys(p.verdict for p in parts)
            )
            numbers = [*_format_numbers(whole, unit, whole.p_adj), wording.format_evidence(whole, runs)]
            table.add_row(claim.text, whole.a, whole.b, *numbers, whole.verdict, answer.standing, counts)
    return table


def build_completeness_table(runs: Runs, cells: list[ConditionSummary]) -> Table:
    """Build the table of trainings done out of those planned."""
    table = Table(
        "completeness",
        "Trainings done of those planned (f failed, m missing), and how much one of them trains.",
        ["condition", *runs.arms],
        [False] + [True] * len(runs.arms),
    )
    for condition in runs.conditions:
        by_arm = {row.arm: row for row in cells if row.condition == condition}
        table.add_row(format_condition(condition) or "all", *(_format_counts(by_arm[arm]) for arm in runs.arms))
    amounts = list_training_amounts(runs)
    for phase in dict.fromkeys(amount.phase for amount in amounts):
        by_name = {amount.arm: amount for amount in amounts if amount.phase == phase}
        for what in ("steps", "images"):
            entries = (getattr(by_name[arm], f"{what}_text") if arm in by_name else NONE for arm in runs.arms)
            table.add_row(f"{'steps' if what == 'steps' else 'images seen'}, {phase}", *entries)
    return table


def _format_counts(row: ConditionSummary) -> str:
    not_done = "".join(f" {number}{letter}" for number, letter in ((row.failed, "f"), (row.missing, "m")) if number)
    return f"{row.done}/{row.planned}{not_done}" if row.planned else NONE


def _format_numbers(row: Comparison, unit: Unit, p: float) -> list[str]:
    n = f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a}, {row.n_b}"
    return [n, _format_difference(row, unit), format_a12(row.a12), format_probability(p)]


def _format_difference(row: Comparison, unit: Unit) -> str:
    return f"{unit.format_difference(row.diff)} [{unit.format_interval(row.diff_low, row.diff_high)}]"
