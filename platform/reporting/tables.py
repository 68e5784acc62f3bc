"""The tables a paper would take over, as plain text in rows; formats.py writes them as LaTeX and Markdown."""

from dataclasses import dataclass, field

from platform.reporting import words
from platform.reporting.classes import ClassRecalls, count_class_images, merge_names
from platform.reporting.comparisons import Comparison
from platform.reporting.contrasts import ContrastRow
from platform.reporting.families import ClaimAnswer, rank_arms
from platform.reporting.runs import Runs, label
from platform.reporting.summary import ChanceLevel, ConditionSummary
from platform.reporting.words import NONE, Unit, chance, probability


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

    def add(self, *entries: str | Text) -> None:
        self.rows.append([entry if isinstance(entry, Text) else Text(entry) for entry in entries])


def readings(runs: Runs, published: list[Comparison], confirmatory: list[Comparison]) -> Table:
    """The text's table, as published and as a strict reviewer would have it, with what the text printed."""
    unit, d = Unit.of(runs), runs.design
    caption = (
        f"Best and runner-up by mean {words.spoken(d.metric)}, one-sided exact Mann-Whitney test, uncorrected (as published); the "
        f"winner by {words.spoken(d.selector or d.metric)} against {d.baseline or 'its runner-up'}, two-sided, Holm over "
        f"{len(confirmatory)} (confirmatory). Difference{unit.sign.replace('%', 'points')} with 95 % interval; n trainings a side."
    )
    head = ["condition", "reading", "first", "second", "n", "difference", "A12", "p", "verdict"]
    table = Table("readings", caption, head, [False] * 4 + [True] * 4 + [False])
    for condition in runs.last:
        for reading, rows in (("as published", published), ("confirmatory", confirmatory)):
            for row in (row for row in rows if row.condition == condition):
                p = row.p if reading == "as published" else row.p_adj
                table.add(label(condition), reading, row.a, row.b, *_numbers(row, unit, p), row.verdict)
        for said in d.published:
            if said.condition.items() <= condition.items():
                scores = f"{said.best} ({said.best_score})", f"{said.runner_up} ({said.runner_up_score})"
                table.add(label(condition), "printed in the text", *scores, NONE, NONE, NONE, words.probability(said.p), NONE)
    return table


def means(runs: Runs, cells: list[ConditionSummary], floors: list[ChanceLevel], tied: dict[str, set[str]]) -> Table:
    """Every mean with its standard deviation, a row an arm, a column a point. `tied`: who is not told apart from the best."""
    unit, along = Unit.of(runs), runs.along
    columns = [f"{along} = {point}" for point in runs.points] if along else [runs.design.metric]
    caption = (
        f"{words.spoken(runs.design.metric).capitalize()}{unit.sign}: mean ± standard deviation over {runs.design.replicated}s (n in "
        "brackets where some are missing). Best mean in bold, second underlined, † not told apart from the best (all pairs, exploratory)."
    )
    if second := runs.design.secondary:
        caption += f" After the slash: mean {words.defined(second)}."
    table = Table("means", caption, [runs.design.compared, *columns], [False] + [True] * len(columns))
    by_place = {(row.arm, label(row.condition)): row for row in cells}
    grounds = {label(floor.condition): floor for floor in floors}
    for panel in runs.panels:
        if panel:
            table.add(label(panel))
        conditions = [runs.at(panel, point) for point in runs.points]
        places = [label(condition) for condition in conditions]
        order = {label(condition): rank_arms(runs, condition) for condition in conditions}
        for arm in runs.arms:
            entries = []
            for place in places:
                row = by_place.get((arm, place))
                if row is None or row.metric is None:
                    entries.append(Text(f"{NONE} ({row.done}/{row.planned})" if row and row.planned else NONE))
                    continue
                short = "" if row.done == row.planned else f" ({row.done}/{row.planned})"
                mark = {0: "best", 1: "second"}.get(order[place].index(arm), "")
                text = f"{unit.value(row.metric.mean)} ± {unit.value(row.metric.sd)}{short}"
                beside = unit.value(row.secondary.mean) if row.secondary else ""
                entries.append(Text(text, mark, arm in tied.get(place, ()), beside))
            table.add(arm, *entries)
        for name, share in (("chance", "chance"), ("majority class", "majority")) if grounds else ():
            table.add(name, *(unit.value(getattr(grounds[place], share)) if place in grounds else NONE for place in places))
    return table


def contrasts(runs: Runs, rows: list[ContrastRow]) -> Table:
    """With and without, at every condition, beside what the text printed there."""
    unit = Unit.of(runs)
    caption = (
        f"With against without, {words.spoken(runs.design.metric)}{unit.sign}: means, in brackets what the text printed of its own data. "
        f"Difference{unit.sign.replace('%', 'points')} with 95 % interval, two-sided, Holm over the table of {len(rows)}."
    )
    head = ["condition", "with", "without", "with, mean", "without, mean", "n", "difference", "A12", "p", "with is"]
    table = Table("contrasts", caption, head, [False] * 3 + [True] * 6 + [False])
    for row in rows:
        printed = (f" [{said.score:g}]" if said else "" for said in (row.printed_a, row.printed_b))
        scores = (f"{unit.value(each.mean)}{said}" for each, said in zip((row.a, row.b), printed, strict=True))
        done = row.comparison
        table.add(label(done.condition), done.a, done.b, *scores, *_numbers(done, unit, done.p_adj), done.verdict)
    return table


def recall(runs: Runs, rows: list[ClassRecalls], cells: list[ConditionSummary]) -> Table:
    """Recall of every class where tables are read, with its standard deviation; a row an arm, then the images of a test set."""
    share, planned = Unit(True).value, {(row.arm, label(row.condition)): row.planned for row in cells}
    shown = [row for row in rows if row.condition in runs.last]
    names = merge_names(row.classes for row in shown)
    caption = (
        f"Recall of each class on the test set, %: mean ± standard deviation over {runs.design.replicated}s (n in brackets where some are "
        "missing). Average: average accuracy, the mean recall over the classes that have images. Images: of the class in one test set."
    )
    table = Table("recall", caption, [runs.design.compared, *names, "average"], [False] + [True] * (len(names) + 1))
    for condition in runs.last:
        here = [row for row in shown if row.condition == condition]
        if here and condition:
            table.add(label(condition))
        for row in here:
            full = planned[row.arm, label(condition)]
            said = [f"{share(one.mean)} ± {share(one.sd)}" if one else "no images" for one in (*row.recall, row.average)]
            of_class = dict(zip(row.classes, said, strict=False))
            arm = row.arm if row.n == full else f"{row.arm} ({row.n}/{full})"
            table.add(arm, *(of_class.get(name, NONE) for name in names), said[-1])
        if here:
            of_class = dict(zip(here[0].classes, count_class_images(here), strict=True))
            table.add("images", *(of_class.get(name, NONE) for name in names), NONE)
    return table


def answers(runs: Runs, rows: list[ClaimAnswer]) -> Table:
    """The study's claims, each with the verdict on the whole and how its conditions came out."""
    unit = Unit.of(runs)
    where = "averaged over conditions; permutation test within conditions, Holm over claims"
    caption = f"The text's claims. Difference{unit.sign.replace('%', 'points')} with 95 % interval, {where}."
    head = ["claim", "a", "b", "n", "difference", "A12", "p", "a is", "claim", "by condition"]
    table = Table("claims", caption, head, [False] * 3 + [True] * 4 + [False] * 3)
    for answer in rows:
        claim, whole, parts = answer
        if whole is None:
            table.add(claim.text, *[NONE] * 6, answer.standing, NONE, NONE)
        else:
            counts = ", ".join(
                f"{verdict} {sum(part.verdict == verdict for part in parts)}" for verdict in dict.fromkeys(p.verdict for p in parts)
            )
            table.add(claim.text, whole.a, whole.b, *_numbers(whole, unit, whole.p_adj), whole.verdict, answer.standing, counts)
    return table


def completeness(runs: Runs, cells: list[ConditionSummary]) -> Table:
    """Trainings done of those planned."""
    table = Table(
        "completeness",
        "Trainings done of those planned; f failed, m missing.",
        ["condition", *runs.arms],
        [False] + [True] * len(runs.arms),
    )
    for condition in runs.conditions:
        here = {row.arm: row for row in cells if row.condition == condition}
        table.add(label(condition) or "all", *(_count(here[arm]) for arm in runs.arms))
    return table


def _count(row: ConditionSummary) -> str:
    lost = "".join(f" {number}{letter}" for number, letter in ((row.failed, "f"), (row.missing, "m")) if number)
    return f"{row.done}/{row.planned}{lost}" if row.planned else NONE


def _numbers(row: Comparison, unit: Unit, p: float) -> list[str]:
    n = f"{row.n_a}" if row.n_a == row.n_b else f"{row.n_a}, {row.n_b}"
    difference = f"{unit.difference(row.diff)} [{unit.interval(row.diff_low, row.diff_high)}]"
    return [n, difference, chance(row.a12), probability(p)]
