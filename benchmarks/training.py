"""Compares trainings by ferray with the usual ways: views per second, finished trainings per hour with all start-up, final accuracy.

.venv/bin/python -m benchmarks.training [--case NAME] trains the same network on the same images for the same epochs and batches with each
arm in turn, round after round. The arms are B0, B1, B2 and B2c of benchmarks.baselines, and two of ferray: `fixed` and `fresh`. `fixed`
augments every image before the first epoch, as the study does. `fresh` augments every image in each epoch, as the baselines do. Both use
the execution configuration that is chosen for the run folder. An arm's time is that of its command, from start to end. Where Ray is not
installed, B1, B2 and ferray's arms run as plain processes.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median, stdev
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer

from benchmarks.baselines import Plan, probe
from benchmarks.common import last_line, machine, show
from trainables import models
from trainables.cell import Cell, Data
from trainables.data.source import Source, load_faces
from trainables.loop import make_task
from trainables.storage.store import RunFolder

CHECKOUT = Path(__file__).parents[1]
CPU = torch.device("cpu")
HELD_OUT = 60
"""images per class for validation and test"""
POCKET: dict[str, Any] = {"encoder": "pocket", "encoder_settings": {}, "hidden": 128, "projection": 64, "lr": 0.03}
IMAGENET: dict[str, Any] = {"encoder": "resnet18", "encoder_settings": {"stem": "imagenet"}, "lr": 0.03}
CIFAR: dict[str, Any] = {"encoder": "resnet18", "encoder_settings": {"stem": "cifar"}, "lr": 0.03}


@dataclass(frozen=True)
class Case:
    """The number of images, epochs and trainings of a comparison, and the settings of the trainings."""

    images: int
    epochs: int
    trainings: int
    settings: dict[str, Any]


CASES = {
    "pocket-400": Case(400, 10, 24, POCKET),
    "pocket-6000": Case(6000, 3, 4, POCKET),
    "imagenet-400": Case(400, 3, 4, IMAGENET),
    "imagenet-6000": Case(6000, 2, 2, IMAGENET),
    "cifar-400": Case(400, 2, 2, CIFAR),
    "cifar-6000": Case(6000, 2, 2, CIFAR),
}
ARMS = ("B0", "B1", "B2", "B2c", "fixed", "fresh")


def main(
    case: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(CASES)}; default: pocket-400")] = None,
    arm: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(ARMS)}; default: all")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    slots: Annotated[int, typer.Option(help="trainings at once of B1 and B2, and of ours on a CPU")] = 2,
    workers: Annotated[int, typer.Option(help="each DataLoader's of B1 and B2; B0 has two")] = 0,
) -> None:
    """Measure, print tables, and end with one line of JSON: trainings per hour of each arm, and ferray's ratios to the baselines."""
    machine_info = machine()
    figures: dict[str, Any] = {}
    for name in case or ["pocket-400"]:
        results = run(CASES[name], tuple(arm or ARMS), rounds, slots, workers)
        columns = ("", "views/s", "trainings/h", "accuracy", "+-", "seconds")
        show(f"{name}: {CASES[name].trainings} trainings, {CASES[name].epochs} epochs, medians of {rounds} rounds", columns, table(results))
        ratios = {f"{own}/{other}": against(results, own, other) for own in ("fixed", "fresh") for other in ARMS[:4]}
        ratios = {pair: ratio for pair, ratio in ratios.items() if ratio}
        show("trainings an hour, and views a second", ("", "per hour", "views"), [(pair, *both) for pair, both in ratios.items()])
        figures[name] = {label: median(row["hourly"] for row in rows) for label, rows in results.items()} | ratios
    last_line(figures, machine_info)


Rows = dict[str, list[dict[str, Any]]]


def run(case: Case, arms: tuple[str, ...], rounds: int, slots: int, workers: int) -> Rows:
    """Return each arm's rounds: trainings per hour, views per second of the whole machine, accuracies, seconds."""
    results: Rows = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="training-") as scratch:
        csv = write(Path(scratch), case)
        folders: dict[int, str] = {}
        for number in range(rounds):
            for arm in arms:
                trainings = max(1, case.trainings // 3) if arm == "B0" else case.trainings  # one process each, so fewer suffice
                seeds = [number * case.trainings + index for index in range(trainings)]
                cells = [cell_of(case, csv, seed, "fresh" if arm == "fresh" else "fixed") for seed in seeds]
                for cell in cells:
                    if cell.seed not in folders:
                        folders[cell.seed] = export(cell, Path(scratch, f"seed-{cell.seed}"))
                is_ferray = arm in ("fixed", "fresh")
                began = time.perf_counter()
                scores = ours(cells, f"{scratch}/{arm}-{number}", slots) if is_ferray else theirs(arm, case, seeds, folders, slots, workers)
                seconds = time.perf_counter() - began
                if is_ferray:
                    scores = judged(cells, f"{scratch}/{arm}-{number}", folders)
                at_once = min(1 if arm == "B0" else slots, trainings)
                if is_ferray and torch.cuda.is_available():
                    at_once = case.trainings
                row = {
                    "hourly": 3600 * trainings / seconds,
                    "views_s": at_once * median(score["views_s"] for score in scores),
                    "accuracies": [score["accuracy"] for score in scores],
                    "seconds": seconds,
                }
                results[arm].append(row)
                print(f"  round {number + 1}, {arm}: {seconds:.0f} s, {row['views_s']:.0f} views/s", file=sys.stderr, flush=True)
    return results


def table(found: Rows) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for arm, rounds in found.items():
        accuracies = [accuracy for row in rounds for accuracy in row["accuracies"]]
        margin = 1.96 * stdev(accuracies) / math.sqrt(len(accuracies)) if len(accuracies) > 1 else math.nan
        medians = [median(row[name] for row in rounds) for name in ("views_s", "hourly", "seconds")]
        rows.append((arm, *medians[:2], sum(accuracies) / len(accuracies), margin, medians[2]))
    return rows


def against(found: Rows, mine: str, other: str) -> tuple[float, float] | None:
    """Return the medians over rounds of the ratios of trainings per hour and of views per second; None if an arm was not run."""
    if mine not in found or other not in found:
        return None
    pairs = list(zip(found[mine], found[other], strict=True))
    return median(a["hourly"] / b["hourly"] for a, b in pairs), median(a["views_s"] / b["views_s"] for a, b in pairs)


def write(scratch: Path, case: Case) -> Path:
    """Write rendered faces as FER2013's csv. Faces are repeated with different noise until there are enough images."""
    faces = [load_faces(Source("faces", population=population), 48, "grey") for population in ("children", "adults")]
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    rng, lines = np.random.default_rng(0), ["emotion,pixels,Usage"]
    for code, name in enumerate(names):
        images = np.concatenate([dataset.images[dataset.labels == dataset.classes.index(name)] for dataset in faces])[:, 0]
        needed = math.ceil(case.images / len(names)) + HELD_OUT
        for copy in range(needed):
            noise = rng.normal(0, 4 if copy >= len(images) else 0, images.shape[1:])
            pixels = np.clip(images[copy % len(images)] + noise, 0, 255).astype(int)
            lines.append(f"{code},{' '.join(map(str, pixels.flat))},Training")
    (scratch / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return scratch / "fer2013.csv"


def cell_of(case: Case, csv: Path, seed: int, pool: str) -> Cell:
    from search_spaces.study import STUDIES

    study = STUDIES.find("adults_as_augmentation")("paper")
    source = Source("fer2013", str(csv))
    faces = load_faces(source, 48, "grey")
    data = Data(source, faces.fingerprint, faces.title)
    per_class = math.ceil(case.images / 7)
    overrides = {"pool": pool, "epochs": case.epochs, "probe_epochs": 5, "probe_lr": 0.05, "partner": None, "per_class": per_class + 1}
    axes: dict[str, Any] = {"method": ("SC(c)",), "split": (per_class / (per_class + 1),), "ratio": (1,), "seed": (seed,)}
    (cell,) = replace(study, axes=axes, settings=study.settings | case.settings | overrides).make_cells({"children": data})
    return cell


def export(cell: Cell, folder: Path) -> str:
    """Write the cell's training images as class folders of PNG files, and its training and test images as held-out.npz for the probe."""
    task = make_task(cell, CPU)
    for number, (image, label) in enumerate(zip(task.train.pixels[:, 0].numpy(), task.train.labels.tolist(), strict=True)):
        (folder / "train" / task.classes[label]).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "train" / task.classes[label] / f"{number}.png"), image)
    train, test = task.train, task.test
    arrays = {"train": train.pixels, "train_labels": train.labels, "test": test.pixels, "test_labels": test.labels}
    np.savez(folder / "held-out.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    return str(folder)


def theirs(arm: str, case: Case, seeds: list[int], folders: dict[int, str], slots: int, workers: int) -> list[dict[str, float]]:
    s = case.settings
    head = {"hidden": s.get("hidden", 512), "projection": s.get("projection", 128)}
    resources = {"workers": 2, "threads": None} if arm == "B0" else {"workers": workers, "threads": 1}
    network = {"encoder": s["encoder"], "encoder_settings": s.get("encoder_settings", {}), "lr": s["lr"]}
    plans = [asdict(Plan(arm, folders[seed], epochs=case.epochs, seed=seed, **network, **head, **resources)) for seed in seeds]  # type: ignore[arg-type]
    command = [sys.executable, "-m", "benchmarks.baselines", "all", json.dumps(plans), str(1 if arm == "B0" else slots)]
    process = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"{arm}: {process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def ours(cells: list[Cell], runs: str, slots: int) -> list[dict[str, float]]:
    RunFolder(runs).put_grid("adults_as_augmentation", "paper", cells)
    process = subprocess.run([sys.executable, "-c", OURS, runs, str(slots)], cwd=CHECKOUT, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"ours: {process.stderr[-2000:]}")
    return []


OURS = """
import sys
from benchmarks.training import train_all
train_all(sys.argv[1], int(sys.argv[2]))
"""


def train_all(runs: str, slots: int) -> None:
    """Train a grid's cells as the grid command does. Without Ray, train them in one process, interleaved on a GPU."""
    folder = RunFolder(runs)
    if find_spec("ray"):
        from platform.launch.cluster import start_ray
        from platform.launch.output_redirection import redirect_output

        with redirect_output(folder), start_ray() as ready:
            from platform.launch import run_with_tune

            ready()
            run_with_tune.run_cells(folder.get_cells(), folder, lambda event: None, slots=None if torch.cuda.is_available() else slots)
        return
    from trainables.execution.interleave import PACK, train_together
    from trainables.workers.worker import Worker

    torch.set_num_threads(1)
    worker = Worker(runs, {}, lambda *_: True, lambda device: None, lambda *_: None, lambda: False, 20.0, len(folder.get_cells()))
    jobs = [{"cell": cell.to_json(), "trial": "", "slot_pid": 0, "deaths": 0} for cell in folder.get_cells()]
    train_together(jobs, worker.start_job, worker.end_job, PACK if torch.cuda.is_available() else 1, worker.send_note)


def judged(cells: list[Cell], runs: str, folders: dict[int, str]) -> list[dict[str, float]]:
    """Return views per second of each finished cell, from the times of its rows, and the common probe's accuracy on its encoder."""
    folder, scores = RunFolder(runs), []
    for cell in cells:
        if folder.get_result(cell.key) is None:
            raise SystemExit(f"ours: {(folder.get_error(cell.key) or {}).get('reason', 'no result')}")
        times = [row["time"] for row in folder.get_history(cell.key) if row["phase"] == "contrast"]
        seconds = median(after - before for before, after in pairwise(times))
        settings = cell.method_settings
        encoder = models.build_encoder(settings["encoder"], channels=1, size=48, **settings["encoder_settings"])
        state = folder.get_checkpoint(cell.key)["modules"]
        encoder.load_state_dict({name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")})
        views = 2 * 16 * (sum((folder.get_result(cell.key) or {})["counts"]["train"]) // 16)
        scores.append({"views_s": views / seconds, "accuracy": probe(encoder, folders[cell.seed], CPU)})
    return scores


if __name__ == "__main__":
    typer.run(main)
