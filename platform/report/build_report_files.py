"""Builds everything that a report writes, as bytes by name: the page, data for programs, tables and figures for papers.

The same runs give the same bytes.
"""

import io
import json
import math
import re
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from platform.report import (
    class_figures,
    class_subset_gain,
    classes,
    confusions,
    cost_figures,
    cross_dataset,
    figures,
    latex_and_markdown,
    page,
    report_tables,
    wording,
)
from platform.report.class_counts import count_classes
from platform.report.comparisons import Comparison
from platform.report.copies import describe_run_copies, describe_run_split
from platform.report.findings import Findings
from platform.report.image_sampling import describe_image_sampling
from platform.report.printed_numbers import build_printed_tables
from platform.report.runs_table import Runs, format_condition
from platform.report.sequential_wording import describe_sequential_run
from platform.report.training_amounts import list_training_amounts
from trainables.data.spreadsheet_formulas import encode_csv


def draw_figures(runs: Runs, found: Findings) -> dict[str, dict[str, bytes]]:
    """Return the figures by name, each in every format."""
    matrices = classes.select_drawn_matrices(runs, found.classes)
    return {
        "means": figures.draw_means(runs, found.cells),
        "means-without-weak": figures.draw_means(runs, found.cells, found.far_below) if found.shows_strong else {},
        "forest": figures.draw_forest(runs, found.against, found.reference or ""),
        "agreement": figures.draw_agreement(runs, found.cells),
        "costs": cost_figures.draw_costs(runs, found.costs),
        "parameters": cost_figures.draw_parameters(runs, found.costs),
        "confusions": class_figures.draw_confusions(matrices, runs.design.replicated),
        "classes": class_figures.draw_class_counts(count_classes(runs, matrices[0].condition) if matrices else []),
    }


def build_report_files(runs: Runs, found: Findings, with_figures: bool = True) -> dict[str, bytes]:
    """Return the files by path within the report's folder. The page is last, so that its presence implies that of all others.

    Drawing the figures takes most of the time.
    """
    drawn = draw_figures(runs, found) if with_figures else {}
    paper_tables = [
        *([] if runs.plan else [report_tables.build_readings_table(runs, found.published, found.confirmatory)]),
        *([report_tables.build_ranking_table(runs, found.published)] if runs.design.published and not runs.plan else []),
        report_tables.build_means_table(runs, found.cells, found.floors, found.tied),
        *([report_tables.build_claims_table(runs, found.answers)] if found.answers else []),
        *([report_tables.build_contrasts_table(runs, found.contrasts)] if found.contrasts and not runs.plan else []),
        *([report_tables.build_recall_table(runs, found.classes, found.cells)] if found.classes else []),
        *build_printed_tables(runs, found.printed),
        report_tables.build_completeness_table(runs, found.cells),
    ]
    comparisons, methods = list_comparisons(found), page.describe_methods(runs, found)
    parquet = io.BytesIO()
    tabulate_trainings(runs).to_parquet(parquet, index=False)
    files = {
        "runs.csv": encode_csv(tabulate_trainings(runs)),
        "runs.parquet": parquet.getvalue(),
        "cells.csv": encode_csv(pd.DataFrame([_flatten_condition_summary(runs, row) for row in found.cells])),
        "comparisons.csv": encode_csv(pd.DataFrame([_flatten_comparison(row) for row in (*comparisons, *found.pairwise)])),
        "report.json": (
            json.dumps(to_json_value(build_report_json(runs, found, comparisons, methods)), indent=1, allow_nan=False) + "\n"
        ).encode(),
        "report.md": _encode_text(render_markdown(runs, found, paper_tables, methods)),
    }
    if found.classes:
        compared = runs.design.compared
        files |= {f"{name}.csv": encode_csv(table) for name, table in classes.tabulate_class_recalls(found.classes, compared).items()}
    for name, make in (
        ("elsewhere", cross_dataset.tabulate_cross_dataset),
        ("confused", confusions.tabulate_confusions),
        ("fewer", class_subset_gain.tabulate_class_subsets),
    ):
        if rows := getattr(found, name):
            files[f"{name}.csv"] = encode_csv(make(rows, runs.design.compared))
    files |= {f"tables/{table.name}.tex": _encode_text(latex_and_markdown.render_latex_table(table)) for table in paper_tables}
    files |= {f"figures/{name}.{kind}": data for name, kinds in drawn.items() for kind, data in kinds.items()}
    return files | {"index.html": _encode_text(page.render_page(runs, found, drawn, methods, sorted(files)))}


def list_comparisons(found: Findings) -> list[Comparison]:
    """Return all comparisons except those of all pairs."""
    claim_rows = [row for answer in found.answers for row in ([answer.whole] if answer.whole else []) + answer.parts]
    whole = [*found.winner, *found.overall, *found.published, *found.confirmatory]
    return [*whole, *claim_rows, *(row.comparison for row in found.contrasts), *found.against]


def build_report_json(runs: Runs, found: Findings, every: list[Comparison], methods: list[str]) -> dict[str, Any]:
    """Return everything that the page shows, as data."""
    d = runs.design
    return {
        "study": d.study,
        "title": d.title,
        "scale": d.scale,
        "source": d.source,
        "compared": d.compared,
        "replicated": d.replicated,
        "metric": d.metric,
        "selector": d.selector,
        "higher_is_better": d.higher_is_better,
        "rope": d.rope,
        "baseline": d.baseline,
        "axes": {d.compared: runs.arms, **runs.axes, d.replicated: runs.replicates},
        "data": runs.data,
        "runs": runs.state_counts,
        "notes": runs.notes,
        "not_done": page.list_unfinished_trainings(runs),
        "seconds": runs.total_seconds,
        "trained": [amount._asdict() for amount in list_training_amounts(runs)],
        "settings": runs.settings.rows,
        "readings": runs.readings,
        "copies": describe_run_copies(runs),
        "split": describe_run_split(runs),
        "findings": wording.list_findings(runs, found.answers, found.winner, found.classes),
        "power_line": wording.describe_power(runs, found.winner, found.wholes, found.confirmatory),
        "images": describe_image_sampling(runs),
        "comparisons": every,
        "claims": [
            {
                **asdict(answer.claim),
                "verdict": answer.whole.verdict if answer.whole else None,
                "standing": answer.standing,
                "p_beyond": answer.p_beyond,
                "note": answer.note,
                "remarks": answer.remarks,
                "reason": answer.reason,
                "looks": answer.looks,
            }
            for answer in found.answers
        ],
        "sequential": {"design": runs.plan.to_json(), "described": describe_sequential_run(runs)} if runs.plan else None,
        "costs": found.costs,
        "printed": found.printed,
        "pairwise": found.pairwise,
        "cells": found.cells,
        "floors": found.floors,
        "far_below": found.far_below,
        "reference": found.reference,
        "ranks": found.ranks,
        "outliers": found.outliers,
        "agreement": found.agreement,
        "power": found.power,
        "groups": found.groups,
        "classes": found.classes,
        "elsewhere": found.elsewhere,
        "confused": [{**asdict(row), "verdict": row.verdict} for row in found.confused],
        "fewer": [{**asdict(row), "verdict": row.verdict} for row in found.fewer],
        "looks": [{"how": look.how, "layer": look.layer, "condition": look.condition, "shares": look.shares} for look in found.looks],
        "flags": found.flags,
        "origins": found.origins,
        "published": d.published,
        "methods": methods,
    }


def tabulate_trainings(runs: Runs) -> pd.DataFrame:
    """Return a data frame with one row per training. Columns that other programs expect come first."""
    d, table = runs.design, runs.table
    first = [
        name for name in (d.compared, *runs.axes, d.replicated, "state", d.selector, d.metric, d.secondary, "split_hash") if name in table
    ]
    return table[[*first, *(name for name in table if name not in first)]]


def render_markdown(runs: Runs, found: Findings, taken: list[report_tables.Table], methods: list[str]) -> str:
    """Return a short form of the page, for a README or a pull request."""
    head = [f"# {latex_and_markdown.escape_markdown(runs.design.title)}", latex_and_markdown.escape_markdown(runs.design.source)]
    head += [f"- {role}: {latex_and_markdown.escape_markdown(data['title'])}" for role, data in runs.data.items()]
    sentences = wording.list_findings(runs, found.answers, found.winner, found.classes)
    findings = [f"- {latex_and_markdown.escape_markdown(text)}" for text in sentences]
    notes = [f"> {latex_and_markdown.escape_markdown(note)}" for note in runs.notes]
    parts = ["\n".join(head), *notes, "## What was found", "\n".join(findings) or "Nothing is compared."]
    if changed := runs.settings.changed:
        lines = ["| setting | here | paper scale |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(latex_and_markdown.escape_markdown, (row.name, row.here, row.paper or '–')))} |" for row in changed]
        parts += ["## Settings that are not the paper's", "\n".join(lines)]
    for table in taken:
        parts += [f"## {table.name.replace('-', ' ').capitalize()}", latex_and_markdown.render_markdown_table(table).rstrip()]
    return "\n\n".join([*parts, "## How it was computed", *map(latex_and_markdown.escape_markdown, methods)]) + "\n"


def to_json_value(value: Any) -> Any:
    """Convert a value to what JSON can hold: dataclasses and named tuples to dictionaries, numbers that are not finite to None."""
    if is_dataclass(value):
        return {field.name: to_json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return to_json_value(value._asdict())
    if isinstance(value, dict):
        return {str(name): to_json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_json_value(item) for item in value]
    if isinstance(value, np.generic):
        return to_json_value(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _encode_text(text: str) -> bytes:
    """Encode text, with ? for control characters, which no page has and which a terminal obeys."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "?", text).encode(errors="replace")


def _flatten_comparison(row: Comparison) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)} | {"condition": format_condition(row.condition)}


def _flatten_condition_summary(runs: Runs, row: Any) -> dict[str, Any]:
    flat = {runs.design.compared: row.arm, **row.condition}
    numbers = {"done": row.done, "failed": row.failed, "missing": row.missing}
    for name, interval in ((runs.design.metric, row.metric), (runs.design.selector, row.selector), (runs.design.secondary, row.secondary)):
        if interval:
            numbers |= {f"{name} {part}": value for part, value in interval._asdict().items() if part != "n"}
    numbers |= {"median": row.median, "min": row.least, "max": row.most}
    return flat | {f"trainings: {name}" if name in flat else name: value for name, value in numbers.items()}
