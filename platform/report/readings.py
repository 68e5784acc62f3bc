"""What a run takes the paper to say where its words leave a choice: the readings' settings, as the methods of a report state them."""

import json
from collections.abc import Sequence
from typing import Any

from search_spaces.claims import Reading
from trainables.cell import Cell
from trainables.settings import get_nested_setting


def describe_readings(readings: Sequence[Reading], cells: Sequence[Cell]) -> list[str]:
    """Return a sentence for each reading that these cells have a setting for."""
    sentences = []
    for reading in readings:
        values = [value for cell in cells if (value := _find_setting(cell, reading.setting)) is not None]
        if texts := list(dict.fromkeys(json.dumps(value).strip('"') for value in values)):
            taken = "; ".join(f"{reading.setting} = {text}{_explain(reading, text)}" for text in texts)
            sentences.append(f"{reading.says} Taken: {taken}.")
    return sentences


def _explain(reading: Reading, text: str) -> str:
    return f" ({reading.takes[text]})" if text in reading.takes else ""


def _find_setting(cell: Cell, name: str) -> Any:
    """Return the value of a setting of the cell's method, or else of its task. Return None if neither has the setting."""
    value = get_nested_setting(cell.method_settings, name)
    return get_nested_setting(cell.task_settings, name) if value is None else value
