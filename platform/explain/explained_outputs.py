"""Which outputs of a network are explained for an image, and whether its answers there are right, for every kind of target."""

from typing import Any, NamedTuple

import numpy as np

from search_spaces.pictures import ExplainedClass
from trainables.data.prediction_targets import SHOWN_FROM, TARGETS, list_names
from trainables.data.task import Task
from trainables.registry import BadRequest

RIGHT, WRONG = "right", "wrong"


class Truth(NamedTuple):
    """What is known about one image."""

    label: int
    """its class; below 0: not known"""
    values: np.ndarray | None = None
    """float32 [outputs] with targets beyond one label"""


def has_classes(task: Task) -> bool:
    """Return whether each output is a class or a label, which an image shows or not; no such thing holds for valence and arousal."""
    return task.target != "affect"


def list_outputs(task: Task, truth: Truth, of: ExplainedClass) -> list[int | None]:
    """Return the outputs whose maps are drawn for an image; None: the output that a network predicts (the most probable one).

    Of a class: the true or the predicted one. Of several labels: each that the image shows, or the most probable one. Of valence and
    arousal: both; `of` has no effect.
    """
    if not has_classes(task):
        return list(range(len(task.classes)))
    if of == "predicted" or (truth.values is None and truth.label < 0):
        return [None]
    if TARGETS[task.target].one_class:
        return [truth.label]
    return [] if truth.values is None else [int(output) for output in np.flatnonzero(truth.values > SHOWN_FROM)]


def judge_answer(task: Task, truth: Truth, prediction: np.ndarray, output: int) -> str:
    """Return whether a network's prediction [outputs] is RIGHT or WRONG, of several labels: in this output.

    Empty if the truth is not known. Valence and arousal are never simply right: the name of the output.
    """
    if not has_classes(task):
        return task.classes[output]
    if TARGETS[task.target].one_class:
        return "" if truth.label < 0 else RIGHT if int(prediction.argmax()) == truth.label else WRONG
    return (
        ""
        if truth.values is None
        else RIGHT
        if bool(prediction[output] >= SHOWN_FROM) == bool(truth.values[output] > SHOWN_FROM)
        else WRONG
    )


def describe_prediction(task: Task, prediction: np.ndarray, output: int) -> str:
    """Return the predicted class, or the explained output, with its probability or value."""
    if not has_classes(task):
        return f"{prediction[output]:+.2f}"
    shown = int(prediction.argmax()) if TARGETS[task.target].one_class else output
    return f"{task.classes[shown]} {100 * prediction[shown]:.0f} %"


def name_answer(task: Task, prediction: np.ndarray) -> str:
    """Return the predicted class, the predicted labels, or nothing where the answers are values."""
    return TARGETS[task.target].name_answer(prediction, task.classes)


def describe_truth(task: Task, truth: Truth, output: int | None) -> str:
    """Return the title of an image's maps."""
    if not has_classes(task):
        name = task.classes[output or 0]
        return name if truth.values is None else f"{name}: {truth.values[output or 0]:+.2f}"
    if truth.values is not None and not TARGETS[task.target].one_class:
        return (
            f"map of {task.classes[output]}; " if output is not None else ""
        ) + f"true labels: {list_names(task.classes, truth.values > SHOWN_FROM)}"
    return f"true class: {task.classes[truth.label] if truth.label >= 0 else 'not known'}"


def name_map(task: Task, truth: Truth, output: int | None) -> str:
    """Return what distinguishes the map of an image in a file name: the true class, or the output."""
    if output is not None:
        return task.classes[output]
    return task.classes[truth.label] if TARGETS[task.target].one_class and truth.label >= 0 else "predicted"


def make_no_map_error() -> BadRequest:
    return BadRequest("none of the test images shows a label, so there is no map of one; use --class predicted")


def list_truths(images: Any) -> list[Truth]:
    """Return what is known about each of some `Images`."""
    values = [None] * len(images.labels) if images.values is None else images.values.cpu().numpy()
    return [Truth(int(label), row) for label, row in zip(images.labels.tolist(), values, strict=True)]
