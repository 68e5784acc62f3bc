"""Which outputs are explained, and when an answer is right, for every kind of target."""

import numpy as np
import pytest

from platform.explain.explained_outputs import Truth, describe_prediction, describe_truth, judge_answer, list_outputs, list_truths, name_map
from tests.test_ciao import task

ONE_CLASS = ["label", "votes"]


@pytest.mark.parametrize("target", ONE_CLASS)
def test_of_one_class_it_is_the_true_or_the_predicted_one(target: str) -> None:
    one = task(target=target)
    for truth in list_truths(one.test):
        assert list_outputs(one, truth, "true") == [truth.label] and list_outputs(one, truth, "predicted") == [None]
        for predicted in range(3):
            prediction = np.eye(3)[predicted] * 0.8
            assert judge_answer(one, truth, prediction, truth.label) == ("right" if predicted == truth.label else "wrong")
            assert describe_prediction(one, prediction, truth.label) == f"{one.classes[predicted]} 80 %"
        assert describe_truth(one, truth, truth.label) == f"true class: {one.classes[truth.label]}"
    unknown = Truth(-1)
    assert list_outputs(one, unknown, "true") == [None] and judge_answer(one, unknown, np.ones(3), 0) == ""
    assert describe_truth(one, unknown, None) == "true class: not known"


def test_valence_and_arousal_are_both_explained_and_never_right_or_wrong() -> None:
    affect = task(target="affect")
    for truth in list_truths(affect.test):
        assert list_outputs(affect, truth, "true") == list_outputs(affect, truth, "predicted") == [0, 1]
        assert truth.values is not None
        for output, name in enumerate(("valence", "arousal")):
            assert judge_answer(affect, truth, truth.values, output) == name == name_map(affect, truth, output)
            assert describe_truth(affect, truth, output) == f"{name}: {truth.values[output]:+.2f}"
    assert describe_prediction(affect, np.array([-0.126, 0.5]), 0) == "-0.13"


def test_of_several_labels_it_is_each_that_the_clip_shows() -> None:
    labels = task(target="labels", frames=3)
    shown = Truth(3, np.array([1, 1], np.float32))
    assert list_outputs(labels, shown, "true") == [0, 1] and list_outputs(labels, shown, "predicted") == [None]
    assert [judge_answer(labels, shown, np.array([0.5, 0.4]), output) for output in (0, 1)] == ["right", "wrong"]
    assert describe_prediction(labels, np.array([0.5, 0.4]), 1) == "b 40 %"
    assert describe_truth(labels, shown, 1) == "map of b; true labels: a, b"
    none = Truth(0, np.zeros(2, np.float32))
    assert list_outputs(labels, none, "true") == [] and describe_truth(labels, none, None) == "true labels: none"
    assert judge_answer(labels, none, np.array([0.4, 0.6]), 0) == "right" and judge_answer(labels, none, np.array([0.4, 0.6]), 1) == "wrong"
