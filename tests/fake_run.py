"""Write a complete run folder of plausible random numbers through the real store, for tests that read runs without training."""

from pathlib import Path

import numpy as np

from search_spaces.study import Study
from trainables import metrics
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.storage.store import RunFolder

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EPOCHS = {"pretrain": 6, "probe": 4}


def fake_run(path: str | Path, study: Study, title: str = "rendered faces, {role}") -> tuple[RunFolder, list[Cell]]:
    """Write a run folder with the study's grid and every cell done."""
    data = {role: Data(Source("faces"), f"fingerprint-{role}", title.format(role=role)) for role in study.roles}
    cells = study.make_cells(data)
    folder = RunFolder(str(path))
    folder.put_grid(study.name, study.scale, cells, steps=[cell.key for cell in cells if study.is_prerequisite(cell)])
    for cell in cells:
        finish(folder, study, cell)
    return folder, cells


def finish(folder: RunFolder, study: Study, cell: Cell, flags: tuple[str, ...] = (), provenance: dict[str, object] | None = None) -> None:
    """Write a cell's history, predictions and result. Later values of an axis score slightly higher, most of all on the compared axis."""
    rng = np.random.default_rng(int(cell.key, 16) % 2**32)
    level = 0.3
    for axis, value in cell.axes.items():
        if axis != study.replicated and value in study.axes[axis]:
            level += (0.06 if axis == study.compared else 0.04) * study.axes[axis].index(value)
    folder.put_cell(cell)
    folder.put_history(cell.key, history(rng, level))
    labels = np.repeat(np.arange(len(CLASSES)), 20)
    right = rng.random(len(labels)) < level
    guesses = np.where(right, labels, rng.integers(0, len(CLASSES), len(labels)))
    probabilities = np.full((len(labels), len(CLASSES)), 0.05)
    probabilities[np.arange(len(labels)), guesses] = 0.7
    persons = np.arange(len(labels)) % 20  # the same persons in every test set
    metadata = {"sex": np.array(["F", "M"])[persons % 2], "age": 2.0 + persons % 7, "mouth_open": persons % 3 == 0}
    folder.put_predictions(cell.key, index=np.arange(len(labels)), subject=persons, label=labels, probabilities=probabilities, **metadata)
    confusion = metrics.count_confusion(labels, guesses, len(CLASSES))
    test = metrics.compute_accuracy(confusion)
    result = {
        "key": cell.key,
        "axes": cell.axes,
        "metrics": {
            "val/accuracy": float(np.clip(test + rng.normal(0, 0.02), 0, 1)),
            "test/accuracy": test,
            "test/balanced_accuracy": metrics.compute_balanced_accuracy(confusion),
            "train/loss": 0.5,
        },
        "selected_epoch": 3,
        "flags": list(flags),
        "classes": list(CLASSES),
        "counts": {"train": [30] * 7, "val": [20] * 7, "test": [20] * 7},
        "confusion": confusion.tolist(),
        "split_hash": f"split-{cell.axes[study.replicated]}",
        "provenance": {
            "commit": "0123abc",
            "dirty": False,
            "pid": int(rng.integers(1000, 9999)),
            "device": "x86_64",
            "precision": "fp32",
            "threads": 1,
            "python": "3.11.7",
            "packages": {"torch": "2.15.0", "ray": "2.60.0"},
        }
        | (provenance or {}),
        "seconds": float(rng.uniform(4, 6)),
    }
    folder.put_result(cell.key, result)


def history(rng: np.random.Generator, level: float) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for phase, epochs in EPOCHS.items():
        for epoch in range(epochs):
            row = {"phase": phase, "epoch": epoch, "step": len(rows), "train/loss": 2 / (1 + epoch) + rng.normal(0, 0.05), "lr": 0.05}
            if phase == "probe":
                row["val/accuracy"] = float(np.clip(level + rng.normal(0, 0.03), 0, 1))
            rows.append(row | {"time": 1.7e9 + len(rows) / 3})
    return rows
