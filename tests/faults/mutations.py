"""Ways to damage a file: bytes are cut, lost, doubled or replaced by noise; values of a JSON document are replaced, lost or renamed."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    float("nan"),
    "",
    "../../etc/passwd",
    "\x1b[2J",
    "<script>",
    [],
    {},
    [[]],
    {"a": 1},
    "é" * 300,
]


@st.composite
def spoilt_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return the content with one to three faults."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        end = min(len(content), at + draw(st.integers(1, 40)))
        piece = content[at:end]
        match draw(st.sampled_from(["cut", "lose", "double", "noise", "insert", "flip", "swap lines"])):
            case "cut":
                content = content[:at]
            case "lose":
                content = content[:at] + content[end:]
            case "double":
                content = content[:end] + piece + content[end:]
            case "noise":
                content = content[:at] + draw(st.binary(min_size=len(piece), max_size=len(piece))) + content[end:]
            case "insert":
                content = (
                    content[:at] + draw(st.sampled_from([b"\0", b"\n", b",", b'"', b"\xff\xfe", b"nan", b"-1", b"\x1b[2J"])) + content[at:]
                )
            case "flip" if content:
                content = content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
            case "swap lines":
                lines = content.split(b"\n")
                first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
                lines[first], lines[second] = lines[second], lines[first]
                content = b"\n".join(lines)
    return content


@st.composite
def spoilt_json(draw: st.DrawFn, document: Any) -> bytes:
    """Return the document with one to three nodes replaced, lost or renamed, or its bytes damaged."""
    if draw(st.integers(0, 3)) == 0:
        return draw(spoilt_bytes(json.dumps(document).encode()))
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        parent, name = _descend(draw, document)
        if parent is None:
            continue
        match draw(st.sampled_from(["replace", "lose", "rename"])):
            case "replace":
                parent[name] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "lose":
                del parent[name]
            case "rename" if isinstance(parent, dict):
                parent[f"{name}s"] = parent.pop(name)
    return json.dumps(document).encode()


def _descend(draw: st.DrawFn, node: Any) -> tuple[Any, Any]:
    """Return a container of the document, and an index or key of it; None and None if there is none."""
    parent: Any = None
    name: Any = None
    while isinstance(node, dict | list) and node and (parent is None or draw(st.booleans())):
        parent, name = node, draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        node = parent[name]
    return parent, name
