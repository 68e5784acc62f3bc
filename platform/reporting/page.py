"""The page: one HTML file with everything in it, figures and style included."""

import math
from itertools import product
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from platform.reporting import figures
from platform.reporting.tables import Grid
from platform.significance import Difference

NONE = "–"


def percent(share: float | None) -> str:
    """.7071 as 70.7; what is no number as a dash."""
    return NONE if share is None or math.isnan(share) else f"{100 * share:.1f}"


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NONE if share is None or math.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def probability(p: float | None) -> str:
    """Three significant digits, and never 0."""
    return NONE if p is None else "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def bar(difference: Difference, reach: float) -> Markup:
    """A difference and its interval as a small picture from -reach to +reach, zero in the middle."""
    x = {end: 50 + 48 * value / reach for end, value in (("low", difference.low), ("mean", difference.mean), ("high", difference.high))}
    line = (
        ""
        if math.isnan(difference.low)
        else f'<line x1="{x["low"]:.1f}" x2="{x["high"]:.1f}" y1="6" y2="6" stroke="#0a5a9c" stroke-width="2"/>'
    )
    return Markup(
        '<svg class="bar" viewBox="0 0 100 12" aria-hidden="true"><line x1="50" x2="50" y1="0" y2="12" stroke="#b5bcc4"/>'
        f'{line}<circle cx="{x["mean"]:.1f}" cy="6" r="3" fill="#0a5a9c"/></svg>'
    )


def duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def render(grid: Grid, content: dict[str, Any]) -> str:
    """The page of a report's content."""
    far, rows = content["far_below"], content["means"]
    kept = [[]] if not far or len(far) == len(grid.arms) else [[], far]
    figure = [
        {
            "without": without,
            "sides": [(title, [_panel(grid, rows, panel, metric, without) for panel in grid.panels]) for title, metric in SIDES],
        }
        for without in kept
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "probability": probability,
        "duration": duration,
        "label": figures.label,
        "bar": bar,
    }
    return environment.get_template("page.html.j2").render(
        content,
        grid=grid,
        figure=figure,
        keys={arm: Markup(figures.key(number)) for number, arm in enumerate(grid.arms)},
        confusion_figures=[Markup(figures.confusion(matrix)) for matrix in content["confusions"]],
        by_place={(figures.label(row.panel), row.point, row.arm): row for row in rows},
        floors={(figures.label(row.panel), row.point): row for row in content["baselines"]},
        leaders=_leaders(grid, rows),
        reach=_reach(content["answers"]),
        rendered=any("rendered" in data["title"].lower() for data in content["data"].values()),
    )


SIDES = (("Validation accuracy, %", "val/accuracy"), ("Test accuracy, %", "test/accuracy"))


def _panel(grid: Grid, rows: list[Any], panel: Any, metric: str, without: list[str]) -> Markup:
    return Markup(figures.accuracy(grid, rows, panel, metric, without))


def _reach(answers: list[Any]) -> float:
    ends = [abs(end) for row in answers if row.difference for end in row.difference[:3] if not math.isnan(end)]
    return max(ends, default=0) or 1.0


def _leaders(grid: Grid, rows: list[Any]) -> set[tuple[str, Any, str]]:
    """The best arm of every place, by mean test accuracy."""
    leaders = set()
    for panel, point in product(grid.panels, grid.points):
        here = [row for row in rows if row.panel == panel and row.point == point and "test/accuracy" in row.scores]
        if here:
            leaders.add((figures.label(panel), point, max(here, key=lambda row: row.scores["test/accuracy"].mean).arm))
    return leaders
