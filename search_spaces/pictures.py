"""Pictures: how a paper's pictures were drawn, which `python -m platform.explain` follows unless its options say otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.cell import Value

MapKind = Literal["gradcam", "gradcam++", "saliency"]
ExplainedClass = Literal["true", "predicted"]
"""the class whose map is drawn"""


@dataclass(frozen=True)
class Pictures:
    """What is drawn of a run. Where the run lacks a named arm or value, another of the run's takes its place."""

    how: MapKind = "gradcam"
    of: ExplainedClass = "true"
    layer: str | None = None
    """layer of the maps; `last`: the last convolution; None: the last with maps fine enough to tell an eye from a brow"""
    arms: tuple[str, ...] = ()
    """arms from top to bottom; if the run has none of them, or if there are none here, all arms of the run"""
    condition: dict[str, Value] = field(default_factory=dict)
    """values of condition axes; of a number that the run lacks, the nearest. On an axis that is not named, or whose value the run lacks:
    the largest number, or the first value if not all are numbers"""
    columns: str | None = None
    """condition axis whose values are the columns of one sheet, one test image each, with arms as rows"""
    images: int = 0
    """number of test images on one sheet, one below the other"""


def choose_value(values: Sequence[Value], wanted: Value | None) -> Value:
    """Return the wanted value, or the nearest number (of two the smaller); else the largest number, or the first value."""
    if wanted in values:
        return wanted
    if not all(type(value) in (int, float) for value in values):
        return values[0]
    numbers: Any = values
    if type(wanted) in (int, float):
        return min(numbers, key=lambda value: (round(abs(value - wanted), 9), value))  # type: ignore[no-any-return]
    return max(numbers)  # type: ignore[no-any-return]
