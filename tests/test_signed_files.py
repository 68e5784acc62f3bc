"""A file says what it is: any change of it, and any other file at its place, is noticed. Files of older versions are read with one line."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.mutations import spoilt_bytes, spoilt_json
from trainables.storage.signed_files import FORMAT, UnfitFile, parse_signed, sign_content
from trainables.storage.store import RunFolder

CONTENT = {"key": "k", "metrics": {"test/accuracy": 0.25}, "list": [1, 2.5, None, "é"]}
PLACE = "cells/k/result.json"
KEY, OTHER = "0123456789abcdef0123", "3210fedcba9876543210"


def test_what_was_written_is_read() -> None:
    text = json.dumps(sign_content(CONTENT, PLACE))
    assert parse_signed(text, PLACE, signed=True) == parse_signed(text) == CONTENT
    assert json.loads(text)["about"] == {"format": FORMAT, "place": PLACE}


@given(st.data())
def test_any_change_is_refused_or_means_the_same(data: st.DataObject) -> None:
    signed = sign_content(CONTENT, PLACE)
    harmed = data.draw(spoilt_json(signed) | spoilt_bytes(json.dumps(signed, indent=1).encode()))
    try:
        content = parse_signed(harmed, PLACE, signed=True)
    except (ValueError, RecursionError):
        return
    assert content == CONTENT or not isinstance(content, dict)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": None}, "no digest"),
        ({"digest": "0" * 16}, "changed after"),
        ({"list": []}, "changed after"),
    ],
)
def test_what_is_not_true_is_named(change: dict[str, object], message: str) -> None:
    content = sign_content(CONTENT, PLACE) | change
    with pytest.raises(UnfitFile, match=message):
        parse_signed(json.dumps({name: value for name, value in content.items() if value is not None}), PLACE)


def test_a_file_of_another_place_or_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnfitFile, match=r"it is not this file, but cells/other/result\.json"):
        parse_signed(json.dumps(sign_content(CONTENT, "cells/other/result.json")), PLACE)
    monkeypatch.setattr("trainables.storage.signed_files.FORMAT", FORMAT + 1)
    later = json.dumps(sign_content(CONTENT, PLACE))
    monkeypatch.undo()
    with pytest.raises(UnfitFile, match="another format"):
        parse_signed(later, PLACE)


def test_a_file_of_an_older_version_is_read_with_one_line(tmp_path: Path) -> None:
    folder, said = RunFolder(str(tmp_path)), []
    folder.say = said.append
    rows = [{"phase": "fit", "epoch": 0, "step": 0, "train/loss": 0.5}]
    for key in (KEY, OTHER):
        (tmp_path / "cells" / key).mkdir(parents=True)
        torch.save({"modules": {"w": torch.ones(2)}}, tmp_path / "cells" / key / "checkpoint.pt")
        (tmp_path / "cells" / key / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert torch.equal(folder.get_checkpoint(key)["modules"]["w"], torch.ones(2)) and folder.get_history(key) == rows
    (tmp_path / "cells" / KEY / "cell.json").write_text('{"key": "k"}')
    assert folder.get_object("cells", KEY, "cell.json") == {"key": "k"}
    assert [line.rpartition("/")[2].partition(" ")[0] for line in said] == ["checkpoint.pt", "history.jsonl", "cell.json"]
    assert all("no digest, because an older version wrote it" in line and "\n" not in line for line in said)


@pytest.mark.parametrize("line", ["{}", '{"phase": "fit", "epoch": 1}', "7", '{"phase": "fit", "epoch": 1, "step": "1"}', "{"])
def test_a_row_of_an_old_history_without_its_step_is_the_end_of_it(tmp_path: Path, line: str) -> None:
    """Such a line used to end the grid with a KeyError, where curves are drawn."""
    folder = RunFolder(str(tmp_path))
    folder.say = lambda text: None
    row = {"phase": "fit", "epoch": 0, "step": 0}
    (tmp_path / "cells" / KEY).mkdir(parents=True)
    (tmp_path / "cells" / KEY / "history.jsonl").write_text(f"{json.dumps(row)}\n{line}\n{json.dumps(row)}\n")
    assert folder.get_history(KEY) == [row]


def test_a_checkpoint_of_a_killed_writer_is_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`files.json` is written first. A writer that is killed before the checkpoint leaves the earlier one, which must still count."""
    folder = RunFolder(str(tmp_path))
    folder.put_checkpoint(KEY, {"modules": {}, "phase": 0})
    put = RunFolder.put

    def die(self: RunFolder, content: bytes, *parts: str) -> None:
        if parts[-1] == "checkpoint.pt":
            raise KeyboardInterrupt
        put(self, content, *parts)

    for phase in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "put", die)
            with pytest.raises(KeyboardInterrupt):
                folder.put_checkpoint(KEY, {"modules": {}, "phase": phase})
        assert folder.get_checkpoint(KEY)["phase"] == 0
    folder.put_checkpoint(KEY, {"modules": {}, "phase": 3})
    assert folder.get_checkpoint(KEY)["phase"] == 3


@pytest.mark.parametrize("also", [(), ("files.json",)], ids=["alone", "with its digests"])
def test_another_trainings_checkpoint_is_not_taken(tmp_path: Path, also: tuple[str, ...]) -> None:
    folder, said = RunFolder(str(tmp_path)), []
    folder.say = said.append
    for key, value in ((KEY, 1.0), (OTHER, 2.0)):
        folder.put_checkpoint(key, {"modules": {"w": torch.full((3,), value)}})
    for name in ("checkpoint.pt", *also):
        (tmp_path / "cells" / KEY / name).write_bytes((tmp_path / "cells" / OTHER / name).read_bytes())
    assert folder.get_checkpoint(KEY) is None and not folder.has_parameters(KEY) and folder.has_parameters(OTHER)
    assert len(said) == 1 and said[0].startswith(f"{tmp_path}/cells/{KEY}/checkpoint.pt: ") and said[0].endswith("; it is not used")


def test_a_checkpoint_stays_readable_by_its_own_tool(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    folder.put_checkpoint(KEY, {"modules": {"w": torch.ones(3)}})
    state = torch.load(tmp_path / "cells" / KEY / "checkpoint.pt", weights_only=True)
    assert torch.equal(state["modules"]["w"], torch.ones(3)) and state["about"] == {"format": FORMAT, "place": f"cells/{KEY}/checkpoint.pt"}


def test_without_its_digests_a_new_checkpoint_is_not_an_old_one(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    folder.say = lambda text: None
    folder.put_checkpoint(KEY, {"modules": {"w": torch.ones(3)}})
    (tmp_path / "cells" / KEY / "files.json").unlink()
    assert folder.get_checkpoint(KEY) is None
