"""Read best.json: the settings that a search found under each condition. The option --use names the file."""

import json
from pathlib import Path
from typing import NamedTuple

from search_spaces.search_space import TunedSettings
from search_spaces.space_tree import describe_space
from search_spaces.study import Study
from trainables.registry import BadRequest, describe_os_error
from trainables.storage.signed_files import parse_signed


class BestSettings(NamedTuple):
    """What a grid takes from a best.json."""

    found: tuple[TunedSettings, ...]
    fixed_test: dict[str, float]
    """the shares of the test parts that the search has not used, by role"""


def read_best_file(file: str, study: Study) -> BestSettings:
    """Return the entries of a best.json that match an arm and a condition of this study.

    Raises BadRequest where no entry matches, or where the file is not a best.json of this study and its search spaces.
    """
    try:
        content = parse_signed(Path(file).read_text(encoding="utf-8"))
        study_name, fixed_test, spaces = content["study"], content.get("fixed_test", {}), content.get("spaces", {})
        entries = tuple(
            TunedSettings((entry["arm"], *entry.get("shared", [])), entry["condition"], entry["settings"]) for entry in content["found"]
        )
        if not all(
            all(isinstance(arm, str) for arm in entry.arms) and isinstance(entry.condition, dict) and isinstance(entry.settings, dict)
            for entry in entries
        ) or not (isinstance(spaces, dict) and all(isinstance(share, float) and 0 < share < 1 for share in fixed_test.values())):
            raise TypeError("an entry has another form")
    except OSError as error:
        raise BadRequest(f"{file}: {describe_os_error(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"{file}: is not the best.json of a search ({type(error).__name__}: {error})") from None
    if study_name != study.name:
        raise BadRequest(f"{file}: was found for {study_name}, not for {study.name}; ferray search {study.name} makes one")
    own = {search.arm: json.loads(json.dumps(describe_space(search.space))) for search in study.searches}
    if other := [arm for arm, space in spaces.items() if space != own.get(arm)]:
        raise BadRequest(f"{file}: was found in another search space of {other[0]}; run ferray search {study.name} again")
    matching = tuple(entry for entry in entries if set(entry.arms) & set(study.axes[study.compared]) and _is_within_study(entry, study))
    if not matching:
        raise BadRequest(
            f"{file}: matches no arm and condition of this grid; it has {'; '.join(map(_describe_settings, entries)) or 'none'}"
        )
    return BestSettings(matching, fixed_test)


def _is_within_study(found: TunedSettings, study: Study) -> bool:
    return all(value in study.axes.get(axis, ()) for axis, value in found.condition.items())


def _describe_settings(found: TunedSettings) -> str:
    return ", ".join([found.arms[0], *(f"{axis}={value}" for axis, value in found.condition.items())])
