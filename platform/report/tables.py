"""The tables a paper would take over, as plain text in rows; formats.py writes them as LaTeX and Markdown."""

from dataclasses import dataclass, field

from platform.report import words
from platform.report.classes import ClassRecalls, count_class_images, merge_names
from platform.report.comparisons import Comparison
from platform.report.contrasts import ContrastRow
from platform.report.families import ClaimAnswer, rank_arms
from platform.report.runs import Runs, format_condition
from platform.report.summary import ChanceLevel, ConditionSummary
from platform.report.words import NONE, Unit, format_a12, format_probability


@dataclass(frozen=True)
class Text:
    """A table's entry and how it stands out."""

    text: str
    mark: str = ""
    """"best", "second" or "" """
    tied: bool = False
    beside: str = ""
    """a second number after a slash, which the marks do not concern"""


@dataclass(frozen=True)
class Table:
    """`rows` hold one entry a column; a row of a single Text is a heading within the table."""

    name: str
    caption: str
    head: list[str]
    numeric: list[bool]
    rows: list[list[Text]] = field(default_factory=list)

    def add_row(self, *entries: str | Text) -> None:
        self.rows.append([entry if isinstance(entry, Text) else Text(entry) for entry in entries])


def build_readings_table(runs: Runs, published: list[Comparison], confirmatory: list[Comparison]) -> Table:
    """The text's table, as published and as a strict reviewer would have it, with what the text printed."""
    unit, d = Unit.from_runs(runs), runs.design
    caption = (
        f"Best and runner-up by mean {words.spell_metric(d.metric)}, one-sided exact Mann-Whitney test, uncorrected (as published); the "
        f"winner by {words.spell_metric(d.selector or d.metric)} against {d.baseline or 'its runner-up'}, two-sided, Holm over "
        f"{len(confirmatory)} (confirmatory). Difference{unit.sign.replace('%', 'points')} with 95 % interval; n trainings a side."
    )
    head = ["condition", "reading", "first", "second", "n", "difference", "A12", "p", "verdict"]
    table = Table("readings", caption, head, [False] * 4 + [True] * 4 + [False])
    for condition in runs.table_conditions:
        for reading, rows in (("as published", published), ("confirmatory", confirmatory)):
            for row in (row for row in rows if row.condition == condition):
                p = row.p if reading == "as published" else row.p_adj
                table.add_row(format_condition(condition), reading, row.a, row.b, *_format_numbers(row, unit, p), row.verdict)
        for said in d.published:
            if said.condition.items() <= condition.items():
                scores = f"{said.best} ({said.best_score})", f"{said.runner_up} ({said.runner_up_score})"
                table.add_row(
                    format_condition(condition), "printed in the text", *scores, NONE, NONE, NONE, words.format_probability(said.p), NONE
                )
    return table


def build_means_table(runs: Runs, cells: list[ConditionSummary], floors: list[ChanceLevel], tied: dict[str, set[str]]) -> Table:
    """Every mean with its standard deviation, a row an arm, a column a point. `tied`: who is not told apart from the best."""
    unit, along = Unit.from_runs(runs), runs.along
    columns = [f"{along} = {point}" for point in runs.points] if along else [runs.design.metric]
    caption = (
        f"{words.spell_metric(runs.design.metric).capitalize()}{unit.sign}: mean ± standard deviation over {runs.design.replicated}s (n in "
        "brackets where some are missing). Best mean in bold, second underlined, † not told apart from the best (all pairs, exploratory)."
    )
    if second := runs.design.secondary:
        caption += f" After the slash: mean {words.define_metric(second)}."
    table = Table("means", caption, [runs.design.compared, *columns], [False] + [True] * len(columns))
    by_place = {(row.arm, format_condition(row.condition)): row for row in cells}
    grounds = {format_condition(floor.condition): floor for floor in floors}
    for panel in runs.panels:
        if panel:
            table.add_row(format_condition(panel))
        conditions = [runs.get_condition(panel, point) for point in runs.points]
        places = [format_condition(condition) for condition in conditions]
        order = {format_condition(condition): rank_arms(runs, condition) for condition in conditions}
        for arm in runs.arms:
            entries = []
            for place in places:
                row = by_place.get((arm, place))
                if row is None or row.metric is None:
                    entries.append(Text(f"{NONE} ({row.done}/{row.planned})" if row and row.planned else NONE))
                    continue
                short = "" if row.done == row.planned else f" ({row.done}/{row.planned})"
                mark = {0: "best", 1: "second"}.get(order[place].index(arm), "")
                text = f"{unit.format_value(row.metric.mean)} ± {unit.format_value(row.metric.sd)}{short}"
                beside = unit.format_value(row.secondary.mean) if row.secondary else ""
                entries.append(Text(text, mark, arm in tied.get(place, ()), beside))
            table.add_row(arm, *entries)
        for name, share in (("chance", "chance"), ("majority class", "majority")) if grounds else ():
            table.add_row(name, *(unit.format_value(getattr(grounds[place], share)) if place in grounds else NONE for place in places))
    return table


def build_contrasts_table(runs: Runs, rows: list[ContrastRow]) -> Table:
    """With and without, at every condition, beside what the text printed there."""
    unit = Unit.from_runs(runs)
    caption = (
        f"With against without, {words.spell_metric(runs.design.metric)}{unit.sign}: means, "
        "in brackets what the text printed of its own data. "
        f"Difference{unit.sign.replace('%', 'points')} with 95 % interval, two-sided, Holm over the table of {len(rows)}."
    )
    head = ["condition", "with", "without", "with, mean", "without, mean", "n", "difference", "A12", "p", "with is"]
    table = Table("contrasts", caption, head, [False] * 3 + [True] * 6 + [False])
    for row in rows:
        printed = (f" [{said.score:g}]" if said else "" for said in (row.printed_a, row.printed_b))
        scores = (f"{unit.format_value(each.mean)}{said}" for each, said in zip((row.a, row.b), printed, strict=True))
        done = row.comparison
        table.add_row(format_condition(done.condition), done.a, done.b, *scores, *_format_numbers(done, unit, done.p_adj), done.verdict)
    return table


def build_recall_table(runs: Runs, rows: list[ClassRecalls], cells: list[ConditionSummary]) -> Table:
    """Recall of every class where tables are read, with its standard deviation; a row an arm, then the images of a test set."""
    share, planned = Unit(True).format_value, {(row.arm, format_condition(row.condition)): row.planned for row in cells}
    shown = [row for row in rows if row.condition in runs.table_conditions]
    names = merge_names(row.classes for row in shown)
    caption = (
        f"Recall of each class on the test set, %: mean ± standard deviation over {runs.design.replicated}s (n in brackets where some are "
        "missing). Average: average accuracy, the mean recall over the classes that have images. Images: of the class in one test set."
    )
    table = Table("recall", caption, [runs.design.compared, *names, "average"], [False] + [True] * (len(names) + 1))
    for condition in runs.table_conditions:
        here = [row for row in shown if row.condition == condition]
        if here and condition:
            table.add_row(format_condition(condition))
        for row in here:
            full = planned[row.arm, format_condition(condition)]
            said = [f"{share(one.mean)} ± {share(one.sd)}" if one else "no images" for one in (*row.recall, row.average)]
            of_class = dict(zip(row.classes, said, strict=False))
            arm = row.arm if row.n == full else f"{row.arm} ({row.n}/{full})"
            table.add_row(arm, *(of_class.get(name, NONE) for name in names), said[-1])
        if here:
            of_class = dict(zip(here[0].classes, count_class_images(here), strict=True))
            table.add_row("images", *(of_class.get(name, NONE) for name in names), NONE)
    return table


def build_claims_table(runs: Runs, rows: list[ClaimAnswer]) -> Table:
    """The study's claims, each with the verdict on the whole and how its conditions came out."""
    unit = Unit.from_runs(runs)
    where = "averaged over conditions; permutation test within conditions, Holm over claims"
    caption = f"The text's claims. Difference{unit.sign.replace('%', 'points')} with 95 % interval, {where}."
    head = ["claim", "a", "b", "n", "difference", "A12", "p", "a is", "claim", "by condition"]
    table = Table("claims", caption, head, [False] * 3 + [True] * 4 + [False] * 3)
    for answer in rows:
        claim, whole, parts = answer
        if whole is None:
            table.add_row(claim.text, *[NONE] * 6, answer.standing, NONE, NONE)
        else:
            counts = ", ".join(
                f"{verdict} {sum(part.verdict == verdict for part in parts)}" for verdict in dict.fromkeys(p.verdict for p in parts)
            )
            table.add_row(claim.text, whole.a, whole.b, *_format_numbers(whole, unit, whole.p_adj), whole.verdict, answer.standing, counts)
    return table


def build_completeness_table(runs: Runs, cells: list[ConditionSummary]) -> Table:
    """Trainings done of those planned."""
    table = Table(
        "completeness",
        "Trainings done of those planned; f failed, m missing.",
        ["condition", *runs.arms],
        [False] + [True] * len(runs.arms),
    )
    for condition in runs.conditions:
        here = {row.arm: row for row in cells if row.condition == condition}
        table.add_row(format_condition(condition) or "all", *(_format_counts(here[arm]) for arm in runs.arms))
    return table


def _format_counts(row: ConditionSummary) -> str:
    lost = "".join(f" {number}{letter}" for number, letter in ((row.failed, "f"), (row.missing, "m")) if number)
    return f"{row.done}/{row.planned}{lost}" if row.planned else NONE


def _format_numbers(row: Comparison, unit: Unit, p: float) -> list[str]:
    n = f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a}, {row.n_b}"
    difference = f"{unit.format_difference(row.diff)} [{unit.format_interval(row.diff_low, row.diff_high)}]"
    return [n, difference, format_a12(row.a12), format_probability(p)]
