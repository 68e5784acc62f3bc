"""Shared by the benchmarks: a description of the machine, a printed table, and one line of JSON for programs."""

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ray", "numpy")


def machine() -> dict[str, Any]:
    """Return hardware, versions, date and system load, without which a figure cannot be interpreted."""
    import torch

    processor = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": processor[0] if processor else "unknown",
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: version(name) for name in PACKAGES},
    }


def show(title: str, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print a table. Floats have three significant digits."""
    text = [header, *(tuple(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    print(f"\n{title}\n")
    for line in text:
        print("  " + "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]))


def last_line(figures: dict[str, Any], here: dict[str, Any]) -> None:
    """Print the JSON object that ends a benchmark's output."""
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    print("\n" + json.dumps(rounded | {"machine": here}), flush=True)


def kilobytes(pid: int) -> float:
    """Return the anonymous resident memory of a process in KB, without mapped files and shared memory; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0.0)


def pocket_cells(seeds: int, first_seed: int = 0, only: dict[str, str] | None = None, settings: dict[str, Any] | None = None) -> list[Any]:
    """Return cells of the pocket study on the embedded faces, narrowed to `only`, with `settings` and `seeds` seeds from `first_seed`."""
    from platform.cli.study_options import read_roles
    from search_spaces.study import STUDIES

    study = STUDIES.find("adults_as_augmentation")("pocket").with_seeds(first_seed + seeds)
    for axis, value in (only or {}).items():
        study = study.narrow_axis(axis, [value])
    for name, value in (settings or {}).items():
        study = study.with_setting(name, value)
    return [cell for cell in study.make_cells(read_roles(study, [])) if cell.seed >= first_seed]
