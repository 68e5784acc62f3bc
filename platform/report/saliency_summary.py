"""Reads the saliency maps that `python -m platform.explain` left in the run folder: sheets, and energy shares of face regions."""

import base64
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from platform.report.map_kinds import KINDS, get_folder_name
from trainables.cell import Value
from trainables.storage.store import RunFolder

SHOWN = 7
"""number of sheets of single images on the page; the others lie beside the run"""


@dataclass(frozen=True)
class SaliencySummary:
    """One kind of map."""

    how: str
    of: str
    """the class whose maps these are: true or predicted"""
    layer: str
    condition: dict[str, Any]
    notes: list[str]
    rendered: bool
    averages: str
    """the sheet of averages as a data URI; `sheets` are data URIs too"""
    sheets: dict[str, str]
    more: int
    """number of sheets that are not on the page"""
    shares: list[dict[str, Any]]
    """see `platform.explain.face_regions.EnergyShare`"""
    likeness: dict[str, Any]

    @property
    def arms(self) -> list[tuple[str, str, list[dict[str, Any]]]]:
        """Tuples of arm, answer and the shares of its regions."""
        pairs = dict.fromkeys((row["arm"], row["answer"]) for row in self.shares)
        return [(arm, answer, [row for row in self.shares if (row["arm"], row["answer"]) == (arm, answer)]) for arm, answer in pairs]


class ExplainModel(BaseModel):
    """Base of the models for what explain.json must hold for the page. Unknown numbers are null there."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class IntervalModel(ExplainModel):
    """See `platform.stats.significance.Interval`."""

    mean: float | None
    low: float | None
    high: float | None


class EnergyShareModel(ExplainModel):
    """See `platform.explain.face_regions.EnergyShare`."""

    arm: str
    answer: str
    region: str
    images: float
    trained: IntervalModel
    untrained: IntervalModel
    area: float | None


class ExplainFile(ExplainModel):
    """One explain.json."""

    how: str
    of: Literal["true", "predicted"] = "true"
    layer: str
    condition: dict[str, Value]
    notes: list[str]
    rendered: bool
    sheets: list[Annotated[str, Field(pattern="^(averages$|figure$|sheet-|steps-)", max_length=200)]]
    shares: list[EnergyShareModel]
    likeness: dict[str, IntervalModel]

    @model_validator(mode="after")
    def check_arms(self) -> "ExplainFile":
        if unknown := [share.arm for share in self.shares if share.arm not in self.likeness]:
            raise ValueError(f"likeness has no {unknown[0]}")
        return self


def read_saliency_summaries(folder: RunFolder) -> tuple[list[SaliencySummary], list[str]]:
    """Return the summaries, empty if nothing was explained, and one line for each damaged explain.json.

    A damaged file is left out.
    """
    summaries, damaged = [], []
    for subfolder, how in ((place, kind) for kind in KINDS for place in _list_places(folder, get_folder_name(kind))):
        try:
            content = _read_explain_file(folder, subfolder)
        except (ValueError, RecursionError, OSError) as error:
            path = folder.get_path("explain", subfolder, "explain.json")
            options = f"--how {how}" + ("" if subfolder == get_folder_name(how) else " and that call's other options")
            damaged.append(f"{path} is damaged: {_describe_error(error)}; run python -m platform.explain again with {options}")
            continue
        if content is not None:
            summaries.append(_build_summary(folder, subfolder, content))
    return summaries, damaged


def _list_places(folder: RunFolder, subfolder: str) -> list[str]:
    """Return the folders below RUN/explain with one kind of map: that of the study's own pictures, then those of other requests."""
    try:
        files = folder.files.find(folder.get_path("explain", subfolder))
    except OSError:  # _read_explain_file reports the error
        files = []
    found = {path.rpartition("/explain/")[2].rpartition("/")[0] for path in files if path.endswith("/explain.json")}
    return sorted(found | {subfolder})


def _read_explain_file(folder: RunFolder, place: str) -> dict[str, Any] | None:
    """Return a checked explain.json, None if there is none. Raises ValueError if a page cannot be made from it."""
    content = folder.get_json("explain", place, "explain.json", signed=True)
    if content is None and folder.get("explain", place, "explain.json") is None:
        return None
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    ExplainFile.model_validate(content)
    return content


def _build_summary(folder: RunFolder, place: str, said: dict[str, Any]) -> SaliencySummary:
    figure, sheets, steps = ([name for name in said["sheets"] if name.startswith(start)] for start in ("figure", "sheet-", "steps-"))
    names = [*figure, *steps[:1], *sheets]
    pictures = {name: picture for name in ["averages", *names[:SHOWN]] if (picture := _make_data_uri(folder, place, name))}
    averages = pictures.pop("averages", "")
    metadata = {name: said[name] for name in ("how", "layer", "condition", "notes", "rendered", "shares", "likeness")}
    return SaliencySummary(**metadata, of=said.get("of", "true"), averages=averages, sheets=pictures, more=len(names) - len(pictures))


def _make_data_uri(folder: RunFolder, place: str, name: str) -> str:
    content, described = folder.get_described(f"explain/{place}", f"{name}.svg")
    if content and not described:
        folder.say_unsigned("explain", *place.split("/"), f"{name}.svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}" if content else ""


def _describe_error(error: Exception) -> str:
    """Return what is wrong with a file, without line breaks."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its content'}: {first['msg'].lower()}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
