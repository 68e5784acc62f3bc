"""What a run takes the paper to say where its words leave a choice: the readings' settings, as the methods of a report state them."""

import json
from collections.abc import Sequence
from typing import Any

from search_spaces.claims import Reading
from trainables.cell import Cell
from trainables.data.source import list_parts
from trainables.settings import get_nested_setting


def describe_readings(readings: Sequence[Reading], cells: Sequence[Cell]) -> list[str]:
    """Return a sentence for each reading that these cells have a setting for."""
    sentences = []
    for reading in readings:
        values = [value for cell in cells for value in _list_values(cell, reading)]
        if texts := list(dict.fromkeys(json.dumps(value).strip('"') for value in values)):
            taken = "; ".join(f"{reading.setting} = {text}{_explain(reading, text)}" for text in texts)
            sentences.append(f"{reading.says} Taken: {taken}.")
    return sentences


def _explain(reading: Reading, text: str) -> str:
    return f" ({reading.takes[text]})" if text in reading.takes else ""


def _list_values(cell: Cell, reading: Reading) -> list[Any]:
    """Return the setting's value in the cell's method, or else in its task; of an option, its values in the cell's data sets, None where
    it is not given."""
    if reading.of:
        parts = [part for data in cell.data.values() for part in list_parts(data.source)]
        return [dict(part.options).get(reading.setting) for part in parts if part.kind == reading.of]
    values = (get_nested_setting(settings, reading.setting) for settings in (cell.method_settings, cell.task_settings))
    return [value for value in values if value is not None][:1]
