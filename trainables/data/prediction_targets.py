"""Prediction targets of an image or a clip: a class, a distribution of votes, valence and arousal, or several labels.

A target reads the answers from the metadata of a data set (see `FaceDataset`), and defines the loss and the scores.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import functional

from trainables import metrics
from trainables.data.dataset import AFFECT, DATA_SET, SHOWN, VOTES, DataError, FaceDataset, require_of_each_set

BINS = 10
"""Number of bins of the valence and the arousal axis, for losses that ask which images are alike (study ciao)."""


SHOWN_FROM = 0.5
"""probability from which a network says that an image shows one of several labels; a true label is 0 or 1"""


class Answers(NamedTuple):
    """The answers of some images of a data set."""

    faces: FaceDataset
    """the images that have an answer; `labels` are codes, and images with equal codes are alike"""
    names: tuple[str, ...]
    """the meaning of each output"""
    values: np.ndarray | None
    """float32 [n, outputs]; None if the label is the whole answer"""


class Target(ABC):
    """One kind of answer. Outputs are float32 [n, k], one number for each of `Answers.names`."""

    kept: ClassVar[str] = "probabilities"
    """name of the predictions in predictions.npz"""
    one_class: ClassVar[bool] = False
    """whether an image has exactly one of the classes"""

    @abstractmethod
    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Return a data set's answers, of these classes if the target has classes.

        Raises DataError for an invalid answer and names the image.
        """

    @abstractmethod
    def compute_predictions(self, outputs: Tensor) -> Tensor:
        """Return predictions [n, k] from outputs."""

    @abstractmethod
    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        """Return the mean loss of a batch."""

    @abstractmethod
    def compute_scores(
        self, predictions: np.ndarray, labels: np.ndarray, values: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[str, float]:
        """Return scores by name. The first is used for selection, and compared in tables of several targets."""

    @abstractmethod
    def name_answer(self, prediction: np.ndarray, names: tuple[str, ...]) -> str:
        """Return a prediction [outputs] in words; empty where the answers are numbers."""


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

    def name_answer(self, prediction: np.ndarray, names: tuple[str, ...]) -> str:
        return names[int(prediction.argmax())]


class Votes(Label):
    """A distribution over classes, as raters gave it. The label is the class with the most votes (FER+, Barsoum et al. 2016)."""

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Return images that have a label and whose majority is one of the classes.

        Others are left out, such as a face of contempt where the task has seven classes, and not taught as the runner-up of their votes. A
        tie goes to the data set's own label if it is tied, else to the first tied class of the task.
        """
        columns = [f"{VOTES}{name}" for name in classes]
        _require_columns(faces, columns)
        voted = [*columns, *(name for name in _list_columns(faces, VOTES) if name not in columns)]
        votes = faces.metadata[voted].to_numpy(float)
        require_of_each_set(faces.metadata, ~np.isnan(votes).any(1), f"votes for all of {', '.join(classes)}")
        if (empty := np.flatnonzero((faces.labels >= 0) & ~(votes.sum(1) > 0))).size:
            raise DataError(f"{_name_row(faces, empty[0])}: has no votes at all; nothing to learn from ({empty.size} such images)")
        if (invalid := np.flatnonzero(~(np.isfinite(votes).all(1) & (votes >= 0).all(1)))).size:
            raise DataError(f"{_name_row(faces, invalid[0])}: votes must be numbers of 0 or more")
        own = np.array([voted.index(f"{VOTES}{name}") if f"{VOTES}{name}" in voted else -1 for name in (*faces.classes, "")])[faces.labels]
        top = votes == votes.max(1, keepdims=True)
        own_is_top = (own >= 0) & top[np.arange(len(own)), own]
        majority = np.where(own_is_top, own, top.argmax(1)).astype(np.int64)
        keep = (faces.labels >= 0) & (majority < len(classes))
        class_votes = votes[keep, : len(classes)]
        values = (class_votes / class_votes.sum(1, keepdims=True)).astype(np.float32)
        return Answers(replace(faces.take_rows(keep), labels=majority[keep], classes=classes), classes, values)

    def compute_loss(self, outputs: Tensor, labels: Tensor, values: Tensor | None) -> Tensor:
        return functional.cross_entropy(outputs, _require_values(values))


class Affect(Target):
    """Valence and arousal, each from -1 to 1."""

    kept = "predicted"

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Return images that have both values. Images in the same of 10 x 10 bins are alike."""
        _require_columns(faces, AFFECT)
        values = faces.metadata[list(AFFECT)].to_numpy(np.float32, na_value=np.nan)
        keep = ~np.isnan(values).any(1)
        require_of_each_set(faces.metadata, keep, "valence and arousal")
        faces, values = faces.take_rows(keep), values[keep]
        if (outside := np.flatnonzero((np.abs(values) > 1).any(1))).size:
            description = ", ".join(f"{name} {value:g}" for name, value in zip(AFFECT, values[outside[0]], strict=True))
            raise DataError(f"{_name_row(faces, outside[0])}: {description}; both must lie between -1 and 1 ({outside.size} such images)")
        bins = np.minimum(((values + 1) * BINS / 2).astype(np.int64), BINS - 1)
        return Answers(replace(faces, labels=bins[:, 0] * BINS + bins[:, 1], classes=()), AFFECT, values)

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
        by_name = {f"ccc_{name}": value for name, value in zip(names, ccc, strict=True)}
        return {"ccc": float(np.mean(ccc)), **by_name, **{f"mse_{name}": value for name, value in zip(names, mse, strict=True)}}

    def name_answer(self, prediction: np.ndarray, names: tuple[str, ...]) -> str:
        return ""


class Labels(Target):
    """Any number of labels at once (EmoReact, Nojavanasghari et al. 2016)."""

    def read_answers(self, faces: FaceDataset, classes: tuple[str, ...]) -> Answers:
        """Return images whose labels are known. Images with the same set of labels are alike."""
        if not (columns := _list_columns(faces, SHOWN)):
            raise DataError(f"{faces.title}: knows no labels {SHOWN}...; this target needs a data set with several labels an image")
        values = faces.metadata[columns].to_numpy(np.float32, na_value=np.nan)
        keep = ~np.isnan(values).any(1)
        require_of_each_set(faces.metadata, keep, "several labels an image")
        faces, values = faces.take_rows(keep), values[keep]
        if (invalid := np.flatnonzero(((values != 0) & (values != 1)).any(1))).size:
            raise DataError(f"{_name_row(faces, invalid[0])}: a label is neither 0 nor 1 ({invalid.size} such images)")
        codes = (values.astype(np.int64) << np.arange(len(columns))).sum(1)
        names = tuple(column.removeprefix(SHOWN) for column in columns)
        return Answers(replace(faces, labels=codes, classes=()), names, values)

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

    def name_answer(self, prediction: np.ndarray, names: tuple[str, ...]) -> str:
        return list_names(names, prediction >= SHOWN_FROM)


def list_names(names: tuple[str, ...], shown: np.ndarray) -> str:
    """Return the names of several labels that are shown, bool [names]."""
    return ", ".join(name for name, each in zip(names, shown, strict=True) if each) or "none"


TARGETS: dict[str, Target] = {"label": Label(), "votes": Votes(), "affect": Affect(), "labels": Labels()}


def list_clips(faces: FaceDataset, frames: int) -> np.ndarray:
    """Return rows int64 [clips, frames] of each clip's frames, evenly spaced, in the order of `frame`.

    Frames of shorter clips are repeated. Without the metadata column `clip`, each image is a clip. Raises DataError for an image of no
    clip, and for a clip of several persons or answers.
    """
    if "clip" not in faces.metadata:
        return np.arange(len(faces))[:, None]
    clip, names = pd.factorize(faces.metadata["clip"])
    if (missing := np.flatnonzero(clip < 0)).size:
        raise DataError(f"{_name_row(faces, missing[0])}: is of no clip ({missing.size} such images)")
    order = np.lexsort((faces.metadata["frame"].to_numpy(), clip))
    starts = np.flatnonzero(np.r_[True, np.diff(clip[order]) > 0])
    selected = []
    for rows in np.split(order, starts[1:]):  # in the order of the clips' first images
        if len(np.unique(faces.labels[rows])) > 1 or ("subject" in faces.metadata and faces.metadata["subject"].iloc[rows].nunique() > 1):
            raise DataError(f"{_name_row(faces, rows[0])}: the frames of clip {names[clip[rows[0]]]} have several persons or answers")
        selected.append(rows[np.linspace(0, len(rows) - 1, frames).round().astype(int)])
    return np.stack(selected)


def _list_columns(faces: FaceDataset, prefix: str) -> list[str]:
    return [str(name) for name in faces.metadata if str(name).startswith(prefix)]


def _require_columns(faces: FaceDataset, columns: list[str] | tuple[str, ...]) -> None:
    if missing := [name for name in columns if name not in faces.metadata]:
        raise DataError(f"{faces.title}: knows no {', '.join(missing)}; choose another target or another data set")


def _name_row(faces: FaceDataset, row: int) -> str:
    name = str(faces.metadata["source"].iat[row]) if "source" in faces.metadata else f"row {faces.metadata.index[row]}"
    title = str(faces.metadata[DATA_SET].iat[row]) if DATA_SET in faces.metadata else faces.title
    return f"{title}, {name}"


def _require_values(values: Tensor | None) -> Tensor:
    if values is None:
        raise ValueError("this target is trained on values, and there are none")
    return values
