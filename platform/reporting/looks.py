"""What the networks look at, as `python -m platform.explain` left it in the run folder: sheets, and shares of face regions."""

import base64
from dataclasses import dataclass
from typing import Any

from trainables.store import RunFolder

HOWS = ("gradcam", "gradcampp", "saliency")
SHOWN = 7
"""sheets of single images that the page holds; the others lie beside the run"""


@dataclass(frozen=True)
class Looks:
    """One kind of map."""

    how: str
    layer: str
    condition: dict[str, Any]
    notes: list[str]
    rendered: bool
    averages: str
    """a data URI, as are `sheets`"""
    sheets: dict[str, str]
    more: int
    """sheets that are not on the page"""
    shares: list[dict[str, Any]]
    """see `platform.explaining.regions.Share`"""
    likeness: dict[str, Any]

    @property
    def arms(self) -> list[tuple[str, str, list[dict[str, Any]]]]:
        """Arm, answer, and the shares of its regions."""
        places = dict.fromkeys((row["arm"], row["answer"]) for row in self.shares)
        return [(arm, answer, [row for row in self.shares if (row["arm"], row["answer"]) == (arm, answer)]) for arm, answer in places]


def looks(folder: RunFolder) -> list[Looks]:
    """Empty where nothing was explained."""
    found = []
    for how in HOWS:
        said = folder.get_json("explain", how, "explain.json")
        if said:
            names = [name for name in said["sheets"] if name.startswith("sheet-")]
            names = [*[name for name in said["sheets"] if name.startswith("steps-")][:1], *names]
            pictures = {name: picture for name in ["averages", *names[:SHOWN]] if (picture := _uri(folder, how, name))}
            averages = pictures.pop("averages", "")
            facts = {name: said[name] for name in ("how", "layer", "condition", "notes", "rendered", "shares", "likeness")}
            found.append(Looks(**facts, averages=averages, sheets=pictures, more=len(names) - len(pictures)))
    return found


def _uri(folder: RunFolder, how: str, name: str) -> str:
    content = folder.get("explain", how, f"{name}.svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}" if content else ""
