"""What a file says of itself: its format, its place, and a digest of its content. Every such statement is made and checked here.

A file of JSON holds the statement: `about` and `digest`. Files of other formats stay as their own tools read them, and `files.json` beside
them describes them. The place is the path in the run folder, or in the cache. It names what the file belongs to: the key in
`cells/KEY/checkpoint.pt` is a hash of the training's settings, seed and data sets. A digest shows damage and mistakes. It is no signature
of an author: whoever may write the file may write a digest.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

FORMAT = 1
"""Version of the files. It is raised when an older version of the program could misread them."""
ABOUT, DIGEST = "about", "digest"
FILES = "files.json"
KEPT = 3
"""Digests of a file that are kept: that of the next content is written before the content, so a killed writer leaves an earlier one."""


class UnfitFile(ValueError):
    """A file is not what was written at its place: it is damaged, edited, or another place's."""


def compute_digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def sign_content(content: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the content of a file of JSON with the statement for this place."""
    stated = content | {ABOUT: {"format": FORMAT, "place": place}}
    return stated | {DIGEST: compute_digest(json.dumps(stated).encode())}


def parse_signed(text: bytes | str, place: str = "", signed: bool = False, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return the content of a file of JSON without its statement. `hook` is the `object_hook` of json.loads.

    Without `place` it may be a file of any place. A file of an older version may lack a statement, with `signed` not its digest. Raises
    UnfitFile for a statement that is not true, and ValueError for text that is not JSON.
    """
    content = json.loads(text, object_hook=hook)
    if not isinstance(content, dict):
        return content
    digest = content.pop(DIGEST, None)
    if digest is None and (signed or ABOUT in content):
        raise UnfitFile("it has no digest")
    if digest is not None and digest != compute_digest(json.dumps(content).encode()):
        raise UnfitFile("it was changed after it was written")
    if (about := content.pop(ABOUT, None)) is not None:
        check_about(about, place)
    return content


def check_about(about: Any, place: str = "") -> None:
    """Raise UnfitFile if a statement is of another format or, with `place`, of another place."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UnfitFile(f"it has another format than this version's, {FORMAT}")
    if place and about.get("place") != place:
        raise UnfitFile(f"it is not this file, but {str(about.get('place'))[:100]}")


def make_about(place: str) -> dict[str, Any]:
    """Return the statement that a file of another format than JSON may hold, too: without a digest."""
    return {"format": FORMAT, "place": place}


def describe_files(known: dict[str, Any] | None, contents: dict[str, bytes | memoryview]) -> dict[str, Any]:
    """Return the content of FILES for these new contents, by name. `known` is the content so far, whose descriptions stay valid."""
    earlier = known.get("files", {}) if known else {}
    new = {name: [compute_digest(content), *earlier.get(name, [])[: KEPT - 1]] for name, content in contents.items()}
    return {"files": earlier | new}


def check_file(described: dict[str, Any], name: str, content: bytes | memoryview) -> None:
    """Raise UnfitFile unless the content of a file is one that FILES describes."""
    if compute_digest(content) not in described.get("files", {}).get(name, []):
        raise UnfitFile("it was changed after it was written, or is another training's")
