"""Renders the page: one HTML file that includes its figures and style. It needs no network and runs no script."""

import math
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from platform.report import classes, figure_axes, figure_canvas, figures, inline_svg, wording
from platform.report.comparison_families import PAIRS, list_absent_arms, rank_arms
from platform.report.comparisons import Comparison, mirror_comparison
from platform.report.contents import add_contents
from platform.report.copies import describe_run_copies, describe_run_split
from platform.report.critical_distance import render_critical_distance
from platform.report.descriptive_statistics import SIZES, SPREADS
from platform.report.findings import Findings
from platform.report.image_sampling import describe_image_sampling
from platform.report.outliers import describe_outliers, describe_outside, find_score_span
from platform.report.runs_table import Condition, Runs, format_condition
from platform.report.sequential_wording import describe_sequential_run
from platform.report.training_amounts import list_training_amounts
from platform.report.wording import Unit

HERE = Path(__file__).parent
FIXED = ("across", "readings", "contrasts", "against", "pairs", "power")
"""sections whose comparisons need a fixed number of seeds; a page of claims that were tested until they were decided has none of them"""


def render_page(runs: Runs, found: Findings, drawn: dict[str, dict[str, bytes]], methods: list[str], beside: list[str]) -> str:
    """Return the page of a report.

    `drawn` holds its whole figures by name, `methods` its paragraphs on methods, `beside` the names of the files beside it.
    """
    unit, d = Unit.from_runs(runs), runs.design
    cells = {(row.arm, format_condition(row.condition)): row for row in found.cells}
    titles = [data["title"] for data in runs.data.values()]
    page = (
        _make_environment(runs)
        .get_template("page.html.j2")
        .render(
            runs=runs,
            d=d,
            f=found,
            unit=unit,
            counts=runs.state_counts,
            heading=f"{d.title}{f' ({d.scale})' if d.scale else ''}: {'; '.join(titles) or d.source}",
            css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
            rendered=any("rendered" in title.lower() for title in titles),
            notes=runs.notes,
            copies=" ".join(filter(None, (describe_run_split(runs), describe_run_copies(runs)))),
            not_done=list_unfinished_trainings(runs),
            seconds=runs.total_seconds,
            keys={arm: Markup(figures.draw_legend_key(number)) for number, arm in enumerate(runs.arms)},
            by_place=cells,
            leaders={format_condition(condition): order[0] for condition in runs.conditions if (order := rank_arms(runs, condition))},
            floors={format_condition(floor.condition): floor for floor in found.floors},
            unmatched=[
                row for row in d.published if not any(row.condition.items() <= condition.items() for condition in runs.table_conditions)
            ],
            figure=_build_accuracy_figure(runs, found) if runs.state_counts["done"] else [],
            pair_of=_index_pairs(found.pairwise),
            pairs_about="all pairs" if len(runs.arms) <= PAIRS else "the best against each of the others",
            most_pairs=PAIRS,
            bar=inline_svg.render_interval_bar,
            strip=_build_strips(runs, found),
            claims_reach=_find_reach(runs, (row for answer in found.answers for row in (*answer.parts, answer.whole))),
            contrasts_reach=_find_reach(runs, (row.comparison for row in found.contrasts)),
            cost_figure=Markup(figure_canvas.strip_xml_head(drawn["costs"]["svg"])) if drawn.get("costs") else "",
            parameter_figure=Markup(figure_canvas.strip_xml_head(drawn["parameters"]["svg"])) if drawn.get("parameters") else "",
            against_reach=_find_reach(runs, found.against),
            overall_reach=_find_reach(runs, found.overall),
            claims_summary=wording.summarise_claims(found.answers),
            sequential=describe_sequential_run(runs),
            fixed=FIXED,
            power_line=wording.describe_power(runs, found.winner, found.wholes, found.confirmatory),
            tested=any(math.isfinite(row.p) for row in (*found.winner, *found.wholes)),
            overall_absent=list_absent_arms(runs),
            equality=wording.describe_equality,
            evidence=lambda row: wording.format_evidence(row, runs),
            evidence_head="worse, within, better" if d.rope else "better",
            evidence_about=wording.explain_evidence(runs),
            confirmatory="confirmatory" if d.selector else "by the test scores",
            images_line=describe_image_sampling(runs),
            outliers_line=describe_outliers(found.outliers, unit),
            outside_line=describe_outside(found.outliers),
            critical_distance=render_critical_distance(found.ranks) if found.ranks else "",
            power_sizes=[unit.format_value(size) for size in SIZES] if d.percent else [f"{share:g} sd" for share in SPREADS],
            agreement_figure=Markup(figure_canvas.strip_xml_head(drawn["agreement"]["svg"])) if drawn.get("agreement") else "",
            average=wording.AVERAGE,
            unread=wording.describe_unread_classes(runs, found.classes),
            images=classes.count_class_images,
            matrices=classes.select_drawn_matrices(runs, found.classes),
            class_figure=Markup(figure_canvas.strip_xml_head(drawn["classes"]["svg"])) if drawn.get("classes") else "",
            matrix=lambda row: inline_svg.render_confusion_matrix(row, f"{d.replicated}s"),
            fewer_panels=[(panel, list(rows)) for panel, rows in groupby(found.fewer, key=lambda row: row.panel)],
            methods=methods,
            amounts=list_training_amounts(runs),
            beside=beside,
        )
    )
    return add_contents(page)


def describe_methods(runs: Runs, found: Findings) -> list[str]:
    """Return how the numbers were computed, in paragraphs that a paper may quote."""
    n = sorted({n for row in found.confirmatory for n in (row.n_a, row.n_b)})
    text = (
        _make_environment(runs)
        .get_template("methods.txt.j2")
        .render(
            d=runs.design,
            own=runs.results is not None,
            n=n if len(n) < 2 else [n[0], n[-1]],
            tests=found.confirmatory[0].m if found.confirmatory else 0,
            images=describe_image_sampling(runs),
            margin=Unit.from_runs(runs).format_amount(runs.design.rope or 0),
            claims=bool(found.answers),
            sequential=describe_sequential_run(runs),
            copies=" ".join(filter(None, (describe_run_split(runs), describe_run_copies(runs)))),
            by_class=bool(found.classes),
            average=wording.AVERAGE,
            readings=" ".join(runs.readings),
            settings=runs.settings.sentence,
        )
    )
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def list_unfinished_trainings(runs: Runs) -> list[dict[str, str]]:
    """Return the name, state and reason of every training that is not done."""
    states = zip(runs.table["state"], runs.table["reason"], strict=True)
    return [
        {"training": runs.get_training_name(row), "state": state, "reason": reason}
        for row, (state, reason) in enumerate(states)
        if state != "done"
    ]


class _TemplateCache(BytecodeCache):
    """Keeps the templates as the first page of this process compiled them, which takes a third of a second."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.code:
            bucket.bytecode_from_string(self.code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.code[bucket.key] = bucket.bytecode_to_string()


COMPILED = _TemplateCache()


def _make_environment(runs: Runs) -> Environment:
    unit = Unit.from_runs(runs)
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=lambda name: "html" in (name or ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=COMPILED,
    )
    environment.filters |= {
        "value": unit.format_value,
        "difference": unit.format_difference,
        "share": Unit(True).format_value,
        "points": Unit(True).format_difference,
        "probability": wording.format_probability,
        "chance": wording.format_a12,
        "replicates": wording.format_replicates,
        "duration": wording.format_hours,
        "label": format_condition,
        "spoken": wording.spell_metric,
        "defined": wording.define_metric,
        "winner": lambda row: wording.describe_winner(row, runs),
        "claim": lambda answer: wording.describe_claim(answer, runs),
    }
    return environment


def _build_accuracy_figure(runs: Runs, found: Findings) -> list[dict[str, Any]]:
    """Return the rows of the accuracy figure: all arms, and again without those far below the others if there are any."""
    parts = [
        (f"{wording.spell_metric(metric).capitalize()}{Unit.from_runs(runs).sign}", part)
        for metric, part in ((runs.design.selector, "selector"), (runs.design.metric, "metric"))
        if metric
    ]
    exclusions: list[list[str]] = [[], found.far_below] if found.shows_strong else [[]]
    return [
        {
            "without": without,
            "sides": [
                (title, [Markup(figures.draw_page_panel(runs, found.cells, where, part, without)) for where in runs.panels])
                for title, part in parts
            ],
        }
        for without in exclusions
    ]


def _build_strips(runs: Runs, found: Findings) -> Any:
    low, high = find_score_span(runs, found.outliers)
    return lambda arm, condition: inline_svg.render_dot_strip(
        runs.get_sample(arm, condition).values.items(), low, high, figure_canvas.get_arm_colour(runs.arms.index(arm))
    )


def _index_pairs(rows: list[Comparison]) -> Any:
    """Return a function of condition, row arm and column arm that gives their comparison from the row's side, or None."""
    by_pair = {(format_condition(row.condition), row.a, row.b): row for row in rows}

    def find_pair(condition: Condition, a: str, b: str) -> Comparison | None:
        label = format_condition(condition)
        mirrored = by_pair.get((label, b, a))
        return by_pair.get((label, a, b)) or (mirror_comparison(mirrored) if mirrored else None)

    return find_pair


def _find_reach(runs: Runs, rows: Iterable[Comparison | None]) -> float:
    """Return how far the bars of these comparisons reach, without trainings whose score lies far from all others."""
    return max(map(abs, figure_axes.list_typical_ends(runs, filter(None, rows))), default=0) or 1.0
