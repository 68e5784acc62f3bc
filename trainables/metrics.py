"""What a classifier's predictions are worth: everything follows from the confusion matrix."""

import numpy as np


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int64 [classes, classes]: row = true class, column = predicted class."""
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be two lists of one length")
    for name, codes in (("label", labels), ("prediction", predictions)):
        if (outside := codes[(codes < 0) | (codes >= classes)]).size:
            raise ValueError(f"{name} {outside[0]} is not a class: there are {classes}")
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(conf: np.ndarray) -> float:
    """Share of images on the diagonal; NaN where there is no image."""
    total = conf.sum()
    return float(np.trace(conf) / total) if total else float("nan")


def balanced_accuracy(conf: np.ndarray) -> float:
    """Mean over classes of the share read right ("average accuracy" in the FER literature); classes without an image are left out."""
    size = conf.sum(axis=1)
    present = size > 0
    return float(np.mean(conf.diagonal()[present] / size[present])) if present.any() else float("nan")
