"""The page in a real browser: no network requests, no console errors, every figure visible, nothing cut off on a phone's screen."""

from pathlib import Path

import pytest
from browser import browser, complaints, needs_browser, requested

from tests.report.pages import Report

SEEN = """return [...document.querySelectorAll('svg')].filter(e => e.checkVisibility()).map(e => {
    const box = e.getBoundingClientRect(); return [box.width, box.height, e.children.length]; })"""
WIDER = """return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200))"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_person_sees_the_page(whole: Report, width: int) -> None:
    address = Path(whole.folder.get_path("report", "index.html")).as_uri()
    with browser(width) as driver:
        driver.get(address)
        assert requested(driver) == [address] and complaints(driver) == []
        assert driver.title.startswith("Adults as augmentations for children (pocket)")
        driver.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
        figures = driver.execute_script(SEEN)
        panels, legends, strips = 4, 4, 16
        assert len(figures) > panels + legends + strips + len(whole.data["axes"]["method"])
        assert all(wide > 0 and high > 0 and drawn for wide, high, drawn in figures)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.execute_script(WIDER) == []
        assert driver.execute_script("return innerWidth") == width
        assert requested(driver) == []
