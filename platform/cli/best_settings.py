"""Read best.json: the settings that a search found under each condition. The option --use names the file."""

import json
from pathlib import Path

from search_spaces.search_space import TunedSettings
from search_spaces.study import Study
from trainables.registry import BadRequest, describe_os_error


def read_best_file(file: str, study: Study) -> tuple[TunedSettings, ...]:
    """Return the entries of a best.json that match an arm and a condition of this study.

    Raises BadRequest where no entry matches, or where the file is not a best.json of this study.
    """
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        study_name = content["study"]
        entries = tuple(TunedSettings(entry["arm"], entry["condition"], entry["settings"]) for entry in content["found"])
        if not all(
            isinstance(entry.arm, str) and isinstance(entry.condition, dict) and isinstance(entry.settings, dict) for entry in entries
        ):
            raise TypeError("an entry has another form")
    except OSError as error:
        raise BadRequest(f"{file}: {describe_os_error(error)}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{file}: is not the best.json of a search ({type(error).__name__}: {error})") from None
    if study_name != study.name:
        raise BadRequest(f"{file}: was found for {study_name}, not for {study.name}; ferray search {study.name} makes one")
    matching = tuple(entry for entry in entries if entry.arm in study.axes[study.compared] and _is_within_study(entry, study))
    if not matching:
        raise BadRequest(
            f"{file}: matches no arm and condition of this grid; it has {'; '.join(map(_describe_settings, entries)) or 'none'}"
        )
    return matching


def _is_within_study(found: TunedSettings, study: Study) -> bool:
    return all(value in study.axes.get(axis, ()) for axis, value in found.condition.items())


def _describe_settings(found: TunedSettings) -> str:
    return ", ".join([found.arm, *(f"{axis}={value}" for axis, value in found.condition.items())])
