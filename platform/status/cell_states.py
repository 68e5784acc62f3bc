"""The cells of a run folder and their states, by which files exist. Nothing is verified, so that ten thousand cells take no second."""

import json

from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


def read_names(folder: RunFolder) -> tuple[str, str, dict[str, str]] | None:
    """Return study, scale, and the names of the grid's cells by key, in order; None if there is no grid.

    Raises BadRequest if it cannot be read.
    """
    if (content := folder.get("grid.json")) is None:
        return None
    try:
        grid = json.loads(content)
        return grid["study"], grid["scale"], {cell["key"]: cell["name"] for cell in grid["cells"]}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadRequest(f"{folder.uri}/grid.json: is damaged ({reason}); run the grid again to write it") from None


def list_states(folder: RunFolder) -> dict[str, str]:
    """Return the state of every cell that was ever begun, by key: done, failed, or begun. A failed cell that was begun again is begun."""
    done = folder.list_cells_with("result.json")
    states = dict.fromkeys(done, "done")
    for key in folder.list_cells_with("cell.json") - done:
        error_time = folder.get_time("cells", key, "error.json")
        states[key] = "failed" if error_time and error_time >= folder.get_time("cells", key, "cell.json") else "begun"
    if not folder.local:
        states |= dict.fromkeys(folder.list_cells_with("error.json") - done, "failed")
    return states
