"""Decoded and drawn faces, and Ray's token, are their owner's alone, whichever command made them first. A shared report keeps the umask."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platform.doctor.checks import check_cache, check_ray_environment
from platform.launch.ray_token import close_token
from tests.data.tree import save
from tests.running import ROOT
from trainables.data import decoded_cache
from trainables.data.decode import DecodeOptions, Item
from trainables.data.unpack import unpack_archive
from trainables.storage.private_folder import choose_private, make_private, open_private
from trainables.storage.store import RunFolder


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def find_open(place: Path) -> list[str]:
    """Return the files and folders below a place, and itself, to which others have access."""
    return [f"{path} {mode(path):o}" for path in (place, *place.rglob("*")) if mode(path) & 0o077]


def decode(place: Path) -> None:
    save(place / "a.png", np.zeros((8, 8), np.uint8))
    decoded_cache.decode_rows(place, [Item("a.png")], DecodeOptions(4))
    decoded_cache.get_or_make_text("f" * 32, lambda: "text")


@pytest.mark.parametrize("first", ["grid", "check"])
def test_the_cache_is_private_whichever_command_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """`data check` used to make it readable by all, and its files always were."""
    cache = tmp_path / "home" / "cache"
    monkeypatch.setenv("FERRAY_CACHE", str(cache))
    if first == "check":
        checked = subprocess.run(
            [sys.executable, "-m", "platform.data", "check", "faces:children"], cwd=ROOT, capture_output=True, text=True
        )
        assert checked.returncode == 0 and f"contact sheets: {cache}/sheets/" in checked.stdout, checked.stderr
        assert list(cache.rglob("*.png"))
    decode(tmp_path / "set")
    assert mode(cache) == 0o700 and not find_open(cache)
    assert not check_cache().bad


def test_a_cache_that_an_earlier_version_left_open_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FERRAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "ferray").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    decoded_cache._find_writable.cache_clear()
    decode(tmp_path / "set")
    assert mode(tmp_path / "ferray") == 0o700 and mode(tmp_path) == 0o755, "only what ferray made is closed"


def test_a_folder_of_the_users_gets_a_private_one_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    old = shared / f"{'0' * 32}.bytes"
    for file in (old, shared / "notes.txt"):
        file.touch(0o644)
    monkeypatch.setenv("FERRAY_CACHE", str(shared))
    decoded_cache._close_old_files.cache_clear()
    decode(tmp_path / "set")
    own = shared / f"ferray-{os.getuid()}"
    assert mode(shared) == 0o755 and mode(shared / "notes.txt") == 0o644 and mode(own) == 0o700 and list(own.glob("*.bytes"))
    assert mode(old) == 0o600, "what an earlier version decoded there"
    assert decoded_cache.get_cache_folder() == own and not find_open(own)


def test_unpacked_pictures_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERRAY_CACHE", str(tmp_path / "cache"))
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "faces.zip", "a.png"], cwd=tmp_path, check=True)
    assert (unpack_archive(tmp_path / "faces.zip") / "a.png").exists() and not find_open(tmp_path / "cache")


def test_what_explain_draws_is_private_and_a_report_keeps_the_umask(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    (tmp_path / "run" / "explain").mkdir(parents=True, mode=0o755)  # of an earlier version
    folder.put_described("explain/pictures/gradcam", {"a.png": b"drawn"})
    folder.put_described("explain/pictures/gradcam", {"predictions.csv": b"picture,true\n"})
    folder.put(b"page", "report", "index.html")
    folder.make_folder(folder.get_path("tb", "explain", "gradcam"))
    assert not find_open(tmp_path / "run" / "explain") and mode(tmp_path / "run" / "tb" / "explain") == 0o700
    assert (mode(tmp_path / "run"), mode(tmp_path / "run/tb"), mode(tmp_path / "run/report/index.html")) == (0o755, 0o755, 0o644)


def test_contact_sheets_go_where_the_user_says(tmp_path: Path) -> None:
    assert choose_private(tmp_path / "new") == tmp_path / "new"
    (tmp_path / "open").mkdir(mode=0o755)
    assert choose_private(tmp_path / "open") == tmp_path / "open" / f"ferray-{os.getuid()}"
    assert mode(make_private(tmp_path / "a" / "b")) == mode(tmp_path / "a") == 0o700
    (tmp_path / "file").touch(0o644)
    with open_private(tmp_path / "file", "w") as file:
        file.write("x")
    assert mode(tmp_path / "file") == 0o600


def test_a_token_that_others_can_read_is_closed_and_the_doctor_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray writes it so. The README's command did not mend one that was there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    close_token()  # there is none
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch(0o644)
    (finding,) = (finding for finding in check_ray_environment({}, tmp_path) if "others can read" in finding.text)
    assert finding.mend.startswith("chmod 600 ")
    close_token()
    assert mode(tmp_path / ".ray" / "auth_token") == 0o600
    assert not [finding for finding in check_ray_environment({}, tmp_path) if "others can read" in finding.text]
