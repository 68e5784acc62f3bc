"""The list of contents: every section has a link that leads to it, and every file that the page names is there."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from platform.report.contents import add_contents
from platform.report.write_report import write_report
from search_spaces.study import STUDIES
from tests.fake_run import fake_run


class Links(HTMLParser):
    """Collects ids, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if tag == "h2" and values.get("id") else []  # type: ignore[list-item]
        self.targets += [values["href"]] if tag == "a" and values.get("href") else []  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["adults_as_augmentation", "children_cnn", "ciao"])
def test_every_section_and_every_file_is_linked(name: str, tmp_path: Path) -> None:
    study = STUDIES.find(name)("pocket").with_seeds(2)
    folder, _ = fake_run(tmp_path, study)
    write_report(folder, study)
    report = Path(folder.get_path("report"))
    page = (report / "index.html").read_text()
    links = Links(page)
    sections = [target[1:] for target in links.targets if target.startswith("#")]
    assert sections == links.ids and len(set(links.ids)) == len(links.ids) >= 8
    assert page.count("<h2") == len(links.ids) and "<script" not in page
    files = [target for target in links.targets if not target.startswith("#")]
    assert {"report.json", "report.md", "runs.csv"} <= set(files) and all((report / file).is_file() for file in files)
    assert page.index('href="#') < page.index("</header>"), "on the first screen"


def test_equal_headings_and_headings_without_letters_have_ids_of_their_own() -> None:
    page = add_contents("<header></header><h2>A &amp; b</h2><h2>A <i>&amp;</i> b</h2><h2>?</h2>")
    assert re.findall('id="([^"]*)"', page) == ["a-b", "a-b-2", "section"]
    assert ">A &amp; b</a>" in page and page.count("href=") == 3


def test_a_page_of_one_section_has_no_list() -> None:
    assert "<nav" not in add_contents("<header></header><h2>Alone</h2>")
