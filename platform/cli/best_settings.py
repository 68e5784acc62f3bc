"""best.json: the settings that a search found under each condition, as the option --use reads them."""

import json
from pathlib import Path

from search_spaces.space import TunedSettings
from search_spaces.study import Study
from trainables.registry import BadRequest


def read_best_file(file: str, study: Study) -> tuple[TunedSettings, ...]:
    """The entries of a best.json that speak of this study's arms and conditions. BadRequest where none does, or it is no such file."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        of = content["study"]
        found = tuple(TunedSettings(each["arm"], each["condition"], each["settings"]) for each in content["found"])
        if not all(isinstance(each.arm, str) and isinstance(each.condition, dict) and isinstance(each.settings, dict) for each in found):
            raise TypeError("an entry has another form")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file}: cannot be read ({error})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{file}: is no best.json of a search ({type(error).__name__}: {error})") from None
    if of != study.name:
        raise BadRequest(f"{file}: was found for {of}, not for {study.name}; python -m platform.search {study.name} makes one")
    fits = tuple(each for each in found if each.arm in study.axes[study.compared] and _is_within_study(each, study))
    if not fits:
        raise BadRequest(
            f"{file}: speaks of no arm and condition of this grid; it knows {'; '.join(map(_describe_settings, found)) or 'none'}"
        )
    return fits


def _is_within_study(found: TunedSettings, study: Study) -> bool:
    return all(value in study.axes.get(axis, ()) for axis, value in found.condition.items())


def _describe_settings(found: TunedSettings) -> str:
    return ", ".join([found.arm, *(f"{axis}={value}" for axis, value in found.condition.items())])
