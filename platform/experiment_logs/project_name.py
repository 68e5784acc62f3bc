"""The name under which other programs keep a run folder's trainings."""

from trainables.storage.store import RunFolder


def name_project(folder: RunFolder) -> str:
    """Return the folder's name; of the comparison at the end of a search, with the name of the search's folder."""
    above, _, name = folder.root.rstrip("/").rpartition("/")
    return f"{above.rpartition('/')[2]}-{name}" if name == "fresh" else name
