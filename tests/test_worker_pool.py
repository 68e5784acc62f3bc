"""The distribution of slots over machines and of packs over trials, and the message about an unsuitable machine."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.launch import run_with_tune
from platform.launch.trials import ACTORS, TRIALS, group_trials
from platform.launch.worker_pool import count_slots, spread_slots
from tests import tiny
from trainables.storage.store import RunFolder
from trainables.workers.host_check import check_host


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 8), max_size=6), st.integers(0, 40))
def test_slots_are_dealt_evenly(rooms: dict[str, int], wanted: int) -> None:
    slots = spread_slots(rooms, wanted)
    room = sum(rooms.values())
    assert sum(slots.values()) == (wanted if room else 0)
    assert all(rooms[name] and number for name, number in slots.items())
    for name, number in slots.items():
        if wanted <= room:
            assert number <= rooms[name]
        for other, other_room in rooms.items():  # no slot would take a smaller share of another machine's room
            if other_room:
                assert number / rooms[name] <= (slots.get(other, 0) + 1) / other_room + 1e-9


def test_the_one_asked_first_has_the_odd_slot() -> None:
    assert spread_slots({"here": 2, "there": 2}, 3) == {"here": 2, "there": 1}
    assert spread_slots({"here": 2}, 5) == {"here": 5}, "more slots than cores were asked for"


def test_more_slots_than_gpus_hold_are_refused() -> None:
    assert count_slots({"CPU": 8.0, "GPU": 2.0}, 0.5, 4) == 4
    with pytest.raises(run_with_tune.Fatal, match=r"--slots 5: at .* they need more than the 2 there are"):
        count_slots({"CPU": 8.0, "GPU": 2.0}, 0.5, 5)


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 4))
def test_trials_hold_all_packs_in_order_and_keep_slots_busy(number: int, slots: int, spare: int) -> None:
    packs = [[index] for index in range(number)]
    trials, at_once = group_trials(packs, slots, spare)  # type: ignore[arg-type]
    assert [pack for trial in trials for pack in trial] == packs
    assert len(trials) <= TRIALS and at_once <= min(ACTORS, slots)
    assert sum(map(len, trials[:at_once])) >= min(number, slots)


def test_a_small_grid_has_a_pack_a_trial() -> None:
    trials, at_once = group_trials([[index] for index in range(8)], 2)  # type: ignore[list-item]
    assert (len(trials), at_once) == (8, 2)


def test_what_a_machine_lacks_is_a_line(tmp_path: Path) -> None:
    folder, host = RunFolder(str(tmp_path / "run")), socket.gethostname()
    assert check_host(folder.uri, "mine", [], 0.1).startswith(f"{host} sees nothing in {folder.uri}")
    folder.put_mark("mine")
    assert check_host(folder.uri, "mine", [str(tmp_path)], 0.1) == ""
    assert check_host(folder.uri, "another", [], 0.1).startswith(f"{host} sees another run's files")
    assert check_host(folder.uri, "mine", [f"{tmp_path}/no.csv"], 0.1).startswith(f"{host}: {tmp_path}/no.csv is missing")
    assert "Protocol not known" in check_host("nosuch://b", "mine", [], 0.1)


def test_the_files_a_source_names(tmp_path: Path) -> None:
    sources = tiny.files(tmp_path)
    assert sources["children"].list_files() == [str(tmp_path / "fer2013.csv"), str(tmp_path / "ages.csv")]
