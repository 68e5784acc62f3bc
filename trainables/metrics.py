"""Scores of predictions. A classifier's scores follow from its confusion matrix; scores of numbers and of label sets do not."""

import numpy as np


def count_confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return counts, int64 [classes, classes]: rows are true classes, columns are predicted classes."""
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be two lists of one length")
    for name, codes in (("label", labels), ("prediction", predictions)):
        if (outside := codes[(codes < 0) | (codes >= classes)]).size:
            raise ValueError(f"{name} {outside[0]} is not a class: there are {classes}")
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def compute_accuracy(conf: np.ndarray) -> float:
    """Return the share of images on the diagonal; NaN if there are no images."""
    total = conf.sum()
    return float(np.trace(conf) / total) if total else float("nan")


def compute_balanced_accuracy(conf: np.ndarray) -> float:
    """Return the mean recall over classes ("average accuracy" in the FER literature). Classes without images are left out."""
    size = conf.sum(axis=1)
    present = size > 0
    return float(np.mean(conf.diagonal()[present] / size[present])) if present.any() else float("nan")


def mean_squared_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean squared error of two lists of numbers."""
    return float(np.square(np.asarray(predicted, float) - np.asarray(true, float)).mean())


def concordance_correlation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return Lin's (1989) concordance correlation coefficient, -1 to 1: 2 cov / (var + var + (difference of means)^2).

    The moments are over n. The coefficient is 0 if either list is constant, because a constant carries no information, and NaN if any
    value is not finite.
    """
    predicted, true = np.asarray(predicted, float), np.asarray(true, float)
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        return float("nan")
    covariance = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    spread = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else 0.0


def compute_f1_scores(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the F1 of each label, float [k], from truth values [n, k]: 2 TP / (2 TP + FP + FN).

    It is 0 for a label that occurs nowhere, as in scikit-learn.
    """
    true_positives = (predicted & true).sum(0)
    marked = predicted.sum(0) + true.sum(0)
    return np.where(marked > 0, 2 * true_positives / np.maximum(marked, 1), 0.0)
