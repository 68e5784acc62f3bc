"""Random tables are reported or refused in one line. benchmarks/fuzz_tables.py tries many more of them."""

import numpy as np
import pytest

from benchmarks.fuzz_tables import find_unsound_files, try_table
from benchmarks.random_tables import RandomTable, draw_table

NUMBER, SEED = 60, 20


@pytest.mark.parametrize("part", range(4))
def test_random_tables_are_reported_or_refused(part: int) -> None:
    outcomes = {number: try_table(draw_table(np.random.default_rng([SEED, number])), number % 20 == 0) for number in range(part, NUMBER, 4)}
    assert {number: details for number, (outcome, details) in outcomes.items() if outcome == "fault"} == {}
    assert [outcome for outcome, _ in outcomes.values()].count("reported") > NUMBER // 8  # most of a part's 15


def test_a_table_is_drawn_again_from_its_number() -> None:
    one, again, other = (draw_table(np.random.default_rng([SEED, number])) for number in (7, 7, 8))
    assert one == again != other


def test_faults_are_seen() -> None:
    sound = {"report.json": b"{}", "runs.csv": b"a,b\n'=1,-5\n", "tables/x.tex": b"{[}x] & 1 \\\\\n"}
    assert find_unsound_files(sound) == ""
    unsound = {"runs.csv": b"a\n=1\n", "tables/x.tex": b"[x] & 1 \\\\\n", "index.html": b'<path d="M nan 3">', "x.md": b"1" * 25}
    for name, data in unsound.items():
        assert find_unsound_files(sound | {name: data}).startswith(name)
    assert try_table(RandomTable("any.csv", b"method,seed,test\nA,0,x\n"))[0] == "refused"
    outcome, details = try_table(RandomTable("any.csv", b"method,seed,test\nA,0,1\n", {"conditions": [None]}))
    assert outcome == "fault" and "Traceback" in details
