"""Makes a report that may be published: without the places of files, and without the names of machines. Names of data sets stay."""

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform.report.runs_table import Runs
from platform.report.settings_summary import SettingsSummary
from trainables.data.source import Source, SourceUnion, list_parts

PATH = re.compile(r"(?<![^\s'\"(\[{<=:,;|])(?:[A-Za-z][A-Za-z0-9+.-]*:/|~)?/(?:[^\s/'\"()\[\]{}<>:;,|]+/)+[^\s/'\"()\[\]{}<>:;,|]*")
"""an absolute path or an address, of two parts or more, in a text"""


def anonymise(runs: Runs, places: Iterable[str] = ()) -> Runs:
    """Return the runs with all texts free of paths, and with hosts as `machine 1`, `machine 2` and their kind.

    `places` are known paths, which may hold blanks.
    """
    hide = _make_hide(places)
    table = runs.table.copy()
    for column in ("reason", "flags"):
        if column in table:
            table[column] = table[column].map(lambda text: hide(text) if isinstance(text, str) else text)
    data = {role: entry | {"notes": tuple(map(hide, entry.get("notes", ())))} for role, entry in runs.data.items()}
    results = None if runs.results is None else _hide_in_results(runs.results, hide)
    settings = SettingsSummary([replace(row, here=hide(row.here), paper=row.paper and hide(row.paper)) for row in runs.settings.rows])
    notes, readings = list(map(hide, runs.notes)), list(map(hide, runs.readings))
    return replace(runs, table=table, data=data, results=results, notes=notes, readings=readings, settings=settings)


def name_source(source: Source | SourceUnion) -> str:
    """Return a source as the user named it, without paths: `fer2013,population=children`."""
    parts = []
    for part in list_parts(source):
        paths = set(part.list_files())
        parts.append(replace(part, path="", options=tuple(option for option in part.options if option[1] not in paths)).to_text())
    return " and ".join(parts)


def _make_hide(places: Iterable[str]) -> Any:
    known = [*places, os.getcwd(), tempfile.gettempdir(), os.path.expanduser("~")]
    names = {place: Path(place).name for place in sorted(known, key=len, reverse=True) if len(Path(place).parts) > 1}

    def hide(text: str) -> str:
        for place, name in names.items():
            text = text.replace(place, name)
        return PATH.sub(lambda match: match[0].rstrip("/").rpartition("/")[2], text)

    return hide


def _hide_in_results(results: list[dict[str, Any] | None], hide: Any) -> list[dict[str, Any] | None]:
    """Return the results with other flags and hosts. Equal parts stay one object in memory."""
    machines: dict[str, str] = {}
    hidden: dict[int, dict[str, Any]] = {}
    changed: list[dict[str, Any] | None] = []
    for result in results:
        if result is None:
            changed.append(None)
            continue
        provenance = result["provenance"]
        if id(provenance) not in hidden:
            host = provenance.get("host")
            if host is not None and host not in machines:
                machines[host] = f"machine {len(machines) + 1}, {provenance.get('device', 'of unknown kind')}"
            hidden[id(provenance)] = provenance | ({"host": machines[host]} if host is not None else {})
        changed.append(result | {"provenance": hidden[id(provenance)], "flags": list(map(hide, result.get("flags", [])))})
    return changed
