"""Targets: what is predicted of an image or a clip: a class, a distribution of votes, valence and arousal, or several labels.

A target reads the answers in the metadata of a data set (see `FaceDataset`), and defines the loss and the scores.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import functional

from trainables import metrics
from trainables.data.dataset import AFFECT, SHOWN, VOTES, DataError, FaceDataset

BINS = 10
"""of an axis of valence or arousal, for losses that ask which images are alike (STUDIES: ciao)"""


class Answers(NamedTuple):
    """The answers of some images of a data set."""

    faces: FaceDataset
    """the images that have an answer; `labels` are codes: two images are alike where their codes are equal"""
    names: tuple[str, ...]
    """what each output stands for"""
    values: np.ndarray | None
    """float32 [n, outputs]; None where the label is the whole answer"""


class Target(ABC):
    """One kind of answer. Outputs are float32 [n, k], a number for each of `Answers.names`."""

    kept: ClassVar[str] = "probabilities"
    """what predictions are called in predictions.npz"""
    one_class: ClassVar[bool] = False
    """an image has one of the classes"""

    @abstractmethod
    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """The answers in a data set, of these classes where there are classes. DataError for what is no answer, naming the image."""

    @abstractmethod
    def compute_predictions(self, outputs: Tensor) -> Tensor:
        """Predictions [n, k] from outputs."""

    @abstractmethod
    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        """The mean loss of a batch."""

    @abstractmethod
    def compute_scores(
        self, predictions: np.ndarray, labels: np.ndarray, values: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[str, float]:
        """Scores by name; the first selects, and is what a table of several targets compares."""


class Label(Target):
    """One class."""

    one_class = True

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        return Answers(faces.select_classes(classes), classes, None)

    def compute_predictions(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(1)

    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        return functional.cross_entropy(outputs, labels)

    def compute_scores(
        self, predictions: np.ndarray, labels: np.ndarray, values: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[str, float]:
        confusion = metrics.count_confusion(labels, predictions.argmax(1), len(names))
        return {"accuracy": metrics.compute_accuracy(confusion), "balanced_accuracy": metrics.compute_balanced_accuracy(confusion)}


class Votes(Label):
    """A distribution over classes, as raters gave it; the label is what most of them said (FER+, Barsoum et al. 2016)."""

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Images that have a label. A tie goes to the data set's own label, if it is among the first, else to the first class."""
        columns = [f"{VOTES}{name}" for name in classes]
        _require_columns(faces, columns)
        every = faces.metadata[_list_columns(faces, VOTES)].to_numpy(float)
        if (empty := np.flatnonzero((faces.labels >= 0) & ~(every.sum(1) > 0))).size:
            raise DataError(f"{_name_row(faces, empty[0])}: has no votes at all; nothing to learn from ({empty.size} such images)")
        if (wrong := np.flatnonzero(~(np.isfinite(every).all(1) & (every >= 0).all(1)))).size:
            raise DataError(f"{_name_row(faces, wrong[0])}: votes must be numbers of 0 or more")
        given = faces.metadata[columns].to_numpy(float)
        keep = (faces.labels >= 0) & (given.sum(1) > 0)
        faces, given = faces.take_rows(keep), given[keep]
        own = np.array([classes.index(name) if name in classes else -1 for name in faces.classes])[faces.labels]
        first = given == given.max(1, keepdims=True)
        tied = (own >= 0) & first[np.arange(len(own)), own]
        labels = np.where(tied, own, first.argmax(1)).astype(np.int64)
        values = (given / given.sum(1, keepdims=True)).astype(np.float32)
        return Answers(FaceDataset(faces.images, labels, classes, faces.metadata, faces.title, faces.notes), classes, values)

    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        return functional.cross_entropy(outputs, _require_values(values))


class Affect(Target):
    """Valence and arousal, each -1 to 1."""

    kept = "predicted"

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Images that have both; alike are those in one bin of 10 x 10."""
        _require_columns(faces, AFFECT)
        values = faces.metadata[list(AFFECT)].to_numpy(np.float32, na_value=np.nan)
        keep = ~np.isnan(values).any(1)
        faces, values = faces.take_rows(keep), values[keep]
        if (outside := np.flatnonzero((np.abs(values) > 1).any(1))).size:
            said = ", ".join(f"{name} {value:g}" for name, value in zip(AFFECT, values[outside[0]], strict=True))
            raise DataError(f"{_name_row(faces, outside[0])}: {said}; both must lie between -1 and 1 ({outside.size} such images)")
        bins = np.minimum(((values + 1) * BINS / 2).astype(np.int64), BINS - 1)
        return Answers(
            FaceDataset(faces.images, bins[:, 0] * BINS + bins[:, 1], (), faces.metadata, faces.title, faces.notes), AFFECT, values
        )

    def compute_predictions(self, outputs: Tensor) -> Tensor:
        return outputs.tanh()

    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        return functional.mse_loss(outputs.tanh(), _require_values(values))

    def compute_scores(
        self, predictions: np.ndarray, labels: np.ndarray, values: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[str, float]:
        assert values is not None
        ccc = [metrics.concordance_correlation(predictions[:, k], values[:, k]) for k in range(len(names))]
        mse = [metrics.mean_squared_error(predictions[:, k], values[:, k]) for k in range(len(names))]
        each = {f"ccc_{name}": value for name, value in zip(names, ccc, strict=True)}
        return {"ccc": float(np.mean(ccc)), **each, **{f"mse_{name}": value for name, value in zip(names, mse, strict=True)}}


class Labels(Target):
    """Any number of labels at once (EmoReact, Nojavanasghari et al. 2016)."""

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Images of which the labels are known; alike are those with the same set."""
        if not (columns := _list_columns(faces, SHOWN)):
            raise DataError(f"{faces.title}: knows no labels {SHOWN}...; this target needs a data set with several labels an image")
        values = faces.metadata[columns].to_numpy(np.float32, na_value=np.nan)
        keep = ~np.isnan(values).any(1)
        faces, values = faces.take_rows(keep), values[keep]
        if (odd := np.flatnonzero(((values != 0) & (values != 1)).any(1))).size:
            raise DataError(f"{_name_row(faces, odd[0])}: a label is neither 0 nor 1 ({odd.size} such images)")
        codes = (values.astype(np.int64) << np.arange(len(columns))).sum(1)
        names = tuple(column.removeprefix(SHOWN) for column in columns)
        return Answers(FaceDataset(faces.images, codes, (), faces.metadata, faces.title, faces.notes), names, values)

    def compute_predictions(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        return functional.binary_cross_entropy_with_logits(outputs, _require_values(values))

    def compute_scores(
        self, predictions: np.ndarray, labels: np.ndarray, values: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[str, float]:
        assert values is not None
        f1 = metrics.compute_f1_scores(predictions >= 0.5, values > 0.5)
        return {"f1": float(f1.mean()), **{f"f1_{name}": float(value) for name, value in zip(names, f1, strict=True)}}


TARGETS: dict[str, Target] = {"label": Label(), "votes": Votes(), "affect": Affect(), "labels": Labels()}


def list_clips(faces: FaceDataset, frames: int) -> np.ndarray:
    """Rows int64 [clips, frames] of each clip's frames, evenly spaced, in the order of `frame`; a shorter clip's are repeated.

    A data set without the fact `clip` has clips of one image. DataError for an image of no clip, and for a clip of two persons or answers.
    """
    if "clip" not in faces.metadata:
        return np.arange(len(faces))[:, None]
    clip, names = pd.factorize(faces.metadata["clip"])
    if (lost := np.flatnonzero(clip < 0)).size:
        raise DataError(f"{_name_row(faces, lost[0])}: is of no clip ({lost.size} such images)")
    order = np.lexsort((faces.metadata["frame"].to_numpy(), clip))
    starts = np.flatnonzero(np.r_[True, np.diff(clip[order]) > 0])
    found = []
    for rows in np.split(order, starts[1:]):  # by when each clip first comes
        if len(np.unique(faces.labels[rows])) > 1 or ("subject" in faces.metadata and faces.metadata["subject"].iloc[rows].nunique() > 1):
            raise DataError(f"{_name_row(faces, rows[0])}: the frames of clip {names[clip[rows[0]]]} have several persons or answers")
        found.append(rows[np.linspace(0, len(rows) - 1, frames).round().astype(int)])
    return np.stack(found)


def _list_columns(faces: FaceDataset, prefix: str) -> list[str]:
    return [str(name) for name in faces.metadata if str(name).startswith(prefix)]


def _require_columns(faces: FaceDataset, columns: list[str] | tuple[str, ...]) -> None:
    if lost := [name for name in columns if name not in faces.metadata]:
        raise DataError(f"{faces.title}: knows no {', '.join(lost)}; choose another target or another data set")


def _name_row(faces: FaceDataset, row: int) -> str:
    named = str(faces.metadata["source"].iat[row]) if "source" in faces.metadata else f"row {faces.metadata.index[row]}"
    return f"{faces.title}, {named}"


def _require_values(values: Tensor | None) -> Tensor:
    if values is None:
        raise ValueError("this target is trained on values, and there are none")
    return values
