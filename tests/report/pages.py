"""The content of a written report, for tests to query."""

import csv
import io
import json
from html.parser import HTMLParser
from typing import Any

from platform.report import write_report as report
from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_run_folder import read_folder
from search_spaces.study import Study
from trainables.storage.store import RunFolder


class Page(HTMLParser):
    """The content of a page: its tags with their attributes, and its text without the list of contents."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.in_contents = False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_contents = self.in_contents or tag == "nav"

    def handle_endtag(self, tag: str) -> None:
        self.in_contents = self.in_contents and tag != "nav"

    def handle_data(self, data: str) -> None:
        if not self.in_contents:
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


class Report:
    """A report's files, read back."""

    def __init__(self, folder: RunFolder, *parts: str) -> None:
        self.folder, self.parts = folder, parts
        self.page = Page(self.text("index.html"))
        self.data: dict[str, Any] = json.loads(self.text("report.json"))
        self.table = list(csv.DictReader(io.StringIO(self.text("runs.csv"))))

    def text(self, *name: str) -> str:
        content = self.folder.get(*self.parts, *name)
        assert content is not None, name
        return content.decode()

    def rows(self, family: str) -> list[dict[str, Any]]:
        return [row for row in self.data["comparisons"] if row["family"] == family]


def made(folder: RunFolder, study: Study | None = None, with_figures: bool = False) -> Report:
    """Write a run's report and read it back. The figures, which `python -m platform.report` writes too, take most of the time."""
    if with_figures:
        report.write_report(folder, study)
    else:
        runs = read_folder(folder, study)
        for name, data in build_report_files(runs, compute_findings(runs, folder), with_figures=False).items():
            folder.put(data, "report", name)
    return Report(folder, "report")
