"""Code that no test runs: python benchmarks/uncovered.py REPORT, where REPORT is coverage's JSON report. `make coverage` runs it.

It prints the share of covered lines in total and of each package, and the functions with the most lines that no test runs.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SHOWN = 20


def main(path: str) -> None:
    report: dict[str, Any] = json.loads(Path(path).read_text())
    lines, covered = Counter[str](), Counter[str]()
    functions = []
    for file, content in report["files"].items():
        package = file.partition("/")[0]
        lines[package] += content["summary"]["num_statements"]
        covered[package] += content["summary"]["covered_lines"]
        for name, function in content["functions"].items():
            if missing := function["summary"]["missing_lines"]:
                functions.append((missing, function["summary"]["num_statements"], f"{file}: {name or 'the module itself'}"))
    for package in sorted(lines):
        print(f"{covered[package] / lines[package]:7.1%}  {package}")
    print(f"{report['totals']['percent_covered'] / 100:7.1%}  in all")
    print(f"\nof the functions with lines that no test runs these {SHOWN} have the most:")
    for missing, number, name in sorted(functions, key=lambda row: (-row[0], row[2]))[:SHOWN]:
        print(f"{missing:4} of {number:3}  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
