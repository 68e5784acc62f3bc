"""Tables as files, for tests that read them."""

from pathlib import Path

import pytest

from platform.report.read_results_table import read_table
from platform.report.runs_table import Runs
from trainables.registry import BadRequest

PLAIN = "method,seed,test\nA,0,0.5\nA,1,0.625\nB,0,0.75\nB,1,0.875\n"


def written(folder: Path, content: str | bytes, name: str = "any.csv") -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def sample(runs: Runs, arm: str, **condition: object) -> dict[object, float]:
    return runs.get_sample(arm, condition).values


def refused(path: str, *says: str, **options: object) -> None:
    """Check that the error is one line that begins with the path and contains all of `says`."""
    with pytest.raises(BadRequest) as caught:
        read_table(path, **options)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    for part in says:
        assert part in line
