"""Tables of many methods: above PAIRS the best alone is compared with the others, so that memory and time do not grow with all pairs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from platform.report.comparison_families import PAIRS, compare_all_pairs
from platform.report.read_results_table import read_table
from tests.report.tables import written
from tests.running import PATIENCE_S

ROOT = Path(__file__).parents[2]
MEASURE = """
import re, sys
from pathlib import Path
from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table

runs = read_table(sys.argv[1], conditions=["fold"], rope=0.01)
files = build_report_files(runs, compute_findings(runs))
peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]  # ru_maxrss would include that of the forked test
print(len(files["index.html"]), peak)
"""


def write_table(folder: Path, methods: int, seeds: int = 5) -> str:
    rng = np.random.default_rng(0)
    rows = [(f"M{method}", fold, seed, *rng.normal(0.6, 0.02, 2)) for method in range(methods) for fold in (1, 2) for seed in range(seeds)]
    return written(folder, pd.DataFrame(rows, columns=["method", "fold", "seed", "val", "test"]).to_csv(index=False))


@pytest.mark.parametrize(("methods", "pairs"), [(PAIRS, PAIRS * (PAIRS - 1) // 2), (PAIRS + 1, PAIRS)])
def test_above_so_many_methods_the_best_is_compared_with_the_others(tmp_path: Path, methods: int, pairs: int) -> None:
    rows = compare_all_pairs(read_table(write_table(tmp_path, methods, 3), conditions=["fold"]))
    assert len(rows) == 2 * pairs and {row.m for row in rows} == {pairs}


@pytest.mark.slow
def test_500_methods_are_reported_within_a_gigabyte_and_a_half(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURE, write_table(tmp_path, 500)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    size, kilobytes = map(int, done.stdout.split())
    assert size > 100_000 and kilobytes < 1.5e6
