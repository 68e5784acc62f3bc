"""Tests of metrics against direct counts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.metrics import compute_accuracy, compute_balanced_accuracy, count_confusion

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(PAIRS)
@settings(deadline=None)
def test_against_counting(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = map(np.array, zip(*pairs, strict=True))
    conf = count_confusion(labels, predictions, 5)
    assert conf.dtype == np.int64 and conf.shape == (5, 5)
    for true in range(5):
        for predicted in range(5):
            assert conf[true, predicted] == pairs.count((true, predicted))
    assert compute_accuracy(conf) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    recalls = []
    for true in {a for a, _ in pairs}:
        answers = [b for a, b in pairs if a == true]
        recalls.append(answers.count(true) / len(answers))
    assert compute_balanced_accuracy(conf) == pytest.approx(sum(recalls) / len(recalls))


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_balanced_accuracy_is_accuracy_on_balanced_labels(classes: int, each: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), each)
    conf = count_confusion(labels, np.random.default_rng(seed).integers(0, classes, len(labels)), classes)
    assert compute_balanced_accuracy(conf) == pytest.approx(compute_accuracy(conf))


def test_a_majority_classifier_is_at_chance_when_balanced() -> None:
    conf = count_confusion(np.array([0] * 90 + [1] * 10), np.zeros(100), 2)
    assert (compute_accuracy(conf), compute_balanced_accuracy(conf)) == (0.9, 0.5)


def test_no_image_is_not_a_number() -> None:
    conf = count_confusion(np.array([]), np.array([]), 3)
    assert conf.sum() == 0 and math.isnan(compute_accuracy(conf)) and math.isnan(compute_balanced_accuracy(conf))


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 3], [0, 0], "label 3 is not a class"),
        ([0, -1], [0, 0], "label -1"),
        ([0, 1], [0, 9], "prediction 9"),
        ([0, 1], [0], "one length"),
    ],
)
def test_what_is_not_a_class_is_refused(labels: list[int], predictions: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count_confusion(np.array(labels), np.array(predictions), 3)
