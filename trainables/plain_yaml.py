"""Parse YAML that a user wrote, or somebody else: plain values only, and any failure is one line."""

from typing import Any

import yaml

from trainables.registry import BadRequest, join_lines

LONGEST = 1_000_000
"""characters; a file of roles has some thousands at most"""


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values of a YAML text. Raises BadRequest, with `where` it stands, for what is none.

    Aliases (*NAME) are refused: nine short lines of them stand for a thousand million values.
    """
    if len(text) > LONGEST:
        raise BadRequest(f"{where}: is too long for YAML that somebody wrote")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise BadRequest(f"{where}: has an alias (*NAME); write its value instead")
        return yaml.safe_load(text)
    except BadRequest:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else join_lines(error)
        raise BadRequest(f"{where}: cannot be read as YAML ({reason})") from None
