"""Writes the report of several run folders to a folder of its own."""

import re

from platform.compare.folder_names import name_folders
from platform.compare.read_runs import read_runs
from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from trainables.storage.store import RunFolder

LONGEST = 100
"""characters of the default folder's name"""


def write_comparison(folders: list[RunFolder], by: str | None, as_condition: bool, out: str | None) -> str:
    """Write the report and return the path of its page. Raises BadRequest for folders that cannot be compared."""
    runs = read_runs(folders, by, as_condition)
    place = RunFolder(out or name_report_folder(folders, by, as_condition))
    for name, data in build_report_files(runs, compute_findings(runs)).items():
        place.put(data, name)
    return place.get_path("index.html")


def name_report_folder(folders: list[RunFolder], by: str | None, as_condition: bool) -> str:
    """Return the default folder, beside the first run folder: another comparison has another one."""
    words = ["compare", *name_folders([folder.uri for folder in folders]), *(["by", by] if by else []), *(["condition"] * as_condition)]
    name = re.sub(r"[^\w.]+", "-", "-".join(words))[:LONGEST].strip("-.")
    return f"{folders[0].uri.rstrip('/').rpartition('/')[0]}/{name}"
