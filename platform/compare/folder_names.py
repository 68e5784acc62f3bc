"""Short names of several run folders, by what tells their paths apart."""

from collections.abc import Sequence


def name_folders(paths: Sequence[str]) -> list[str]:
    """Return a different name for each of several different paths: `a/run` and `b/run` are a and b; `a/one` and `b/two` are one and two."""
    parts = [path.rstrip("/").split("/") for path in paths]
    last = [each[-1] for each in parts]
    if len(set(last)) == len(last):
        return last
    while all(parts) and len({each[0] for each in parts}) == 1:
        parts = [each[1:] for each in parts]
    while all(parts) and len({each[-1] for each in parts}) == 1:
        parts = [each[:-1] for each in parts]
    return ["/".join(each) or "." for each in parts]
