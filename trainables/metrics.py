"""What predictions are worth. Of a classifier everything follows from the confusion matrix; of numbers and label sets it does not."""

import numpy as np


def count_confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int64 [classes, classes]: row = true class, column = predicted class."""
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be two lists of one length")
    for name, codes in (("label", labels), ("prediction", predictions)):
        if (outside := codes[(codes < 0) | (codes >= classes)]).size:
            raise ValueError(f"{name} {outside[0]} is not a class: there are {classes}")
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def compute_accuracy(conf: np.ndarray) -> float:
    """Share of images on the diagonal; NaN where there is no image."""
    total = conf.sum()
    return float(np.trace(conf) / total) if total else float("nan")


def compute_balanced_accuracy(conf: np.ndarray) -> float:
    """Mean over classes of the share read right ("average accuracy" in the FER literature); classes without an image are left out."""
    size = conf.sum(axis=1)
    present = size > 0
    return float(np.mean(conf.diagonal()[present] / size[present])) if present.any() else float("nan")


def mean_squared_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean squared error of two lists of numbers."""
    return float(np.square(np.asarray(predicted, float) - np.asarray(true, float)).mean())


def concordance_correlation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Concordance correlation coefficient (Lin 1989), -1 to 1: 2 cov / (var + var + (difference of means)^2), with moments over n.

    0 where either list is constant: a constant says nothing. NaN where a prediction is no number.
    """
    predicted, true = np.asarray(predicted, float), np.asarray(true, float)
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        return float("nan")
    covariance = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    spread = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else 0.0


def compute_f1_scores(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """F1 of each label, float [k], from truth values [n, k]: 2 TP / (2 TP + FP + FN); 0 for one that is nowhere, as scikit-learn has it."""
    hits = (predicted & true).sum(0)
    marked = predicted.sum(0) + true.sum(0)
    return np.where(marked > 0, 2 * hits / np.maximum(marked, 1), 0.0)
