"""Prediction targets other than one label: reading from the metadata, scoring of outputs, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tests import tiny
from tests.data.trees import TREES
from trainables import metrics
from trainables.data.dataset import CLASSES, DataError, FaceDataset, find_reader
from trainables.data.prediction_targets import TARGETS, list_clips

THREE = ("anger", "fear", "happiness")


def faces(labels: list[int], classes: tuple[str, ...] = THREE, **metadata: Any) -> FaceDataset:
    table = pd.DataFrame({"source": [f"picture {row}" for row in range(len(labels))], **metadata})
    return FaceDataset(np.zeros((len(labels), 1, 32, 32), np.uint8), np.array(labels), classes, table, "some faces")


def voted(labels: list[int], votes: list[tuple[float, ...]]) -> FaceDataset:
    return faces(labels, **{f"votes_{name}": column for name, column in zip(THREE, zip(*votes, strict=True), strict=True)})


def test_votes_are_shares_and_the_label_is_their_majority() -> None:
    answers = TARGETS["votes"].read_answers(voted([0, 1, 2, -1], [(8, 2, 0), (5, 5, 0), (1, 0, 0), (9, 0, 0)]), THREE)
    assert answers.names == THREE and answers.faces.labels.tolist() == [0, 1, 0]  # ties go to the own label; unlabelled images are dropped
    np.testing.assert_allclose(answers.values, [[0.8, 0.2, 0], [0.5, 0.5, 0], [1, 0, 0]])
    assert answers.values.dtype == np.float32 and answers.faces.metadata["source"].tolist() == ["picture 0", "picture 1", "picture 2"]


def test_votes_for_other_classes_do_not_count() -> None:
    answers = TARGETS["votes"].read_answers(voted([0, 1, 1], [(3, 1, 2), (0, 0, 9), (2, 3, 0)]), ("anger", "fear"))
    assert answers.faces.labels.tolist() == [0, 1] and answers.faces.metadata.index.tolist() == [0, 2]
    np.testing.assert_allclose(answers.values, [[0.75, 0.25], [0.4, 0.6]])


def test_a_face_whose_majority_is_no_class_of_the_task_is_left_out_and_not_relabelled() -> None:
    votes = [(1, 3, 6), (4, 0, 5), (5, 0, 5), (5, 0, 5), (6, 0, 4)]
    labels = [2, 0, 2, 1, 2]  # happiness stands for contempt; the third is tied and its own label is happiness, the fourth is neither
    answers = TARGETS["votes"].read_answers(voted(labels, votes), ("anger", "fear"))
    assert answers.faces.metadata.index.tolist() == [3, 4] and answers.faces.labels.tolist() == [0, 0]


@pytest.mark.parametrize("seven", [True, False])
def test_seven_classes_of_ferplus_have_no_face_of_contempt(tmp_path: Path, seven: bool) -> None:
    faces = TREES["ferplus"](tmp_path).read()
    classes = tuple(name for name in CLASSES if name != "contempt" or not seven)
    answers = TARGETS["votes"].read_answers(faces, classes)
    labels = dict(zip(answers.faces.metadata["source"], [classes[label] for label in answers.faces.labels], strict=True))
    own = dict(zip(faces.metadata["source"], [faces.classes[label] for label in faces.labels], strict=True))
    assert labels == {name: label for name, label in own.items() if label in classes} and len(own) - len(labels) == seven


@given(st.lists(st.lists(st.integers(0, 4), min_size=8, max_size=8).filter(any), min_size=1, max_size=12), st.data())
def test_the_label_is_always_one_of_those_with_most_votes(votes: list[list[int]], data: st.DataObject) -> None:
    own = data.draw(st.lists(st.integers(0, 7), min_size=len(votes), max_size=len(votes)))
    columns = {f"votes_{name}": [row[k] for row in votes] for k, name in enumerate(CLASSES)}
    classes = tuple(data.draw(st.lists(st.sampled_from(CLASSES), min_size=1, unique=True)))
    answers = TARGETS["votes"].read_answers(faces(own, CLASSES, **columns), classes)
    labels = dict(zip(answers.faces.metadata.index, answers.faces.labels, strict=True))
    for row, counts in enumerate(votes):
        most = {name for name, count in zip(CLASSES, counts, strict=True) if count == max(counts)}
        if row in labels:
            assert classes[labels[row]] in most
        else:
            assert not most <= set(classes)
    np.testing.assert_allclose(answers.values.sum(1), np.ones(len(labels)), rtol=1e-5)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ((0, 0, 0), r"some faces, picture 1: has no votes at all; nothing to learn from \(1 such images\)"),
        ((-1, 2, 2), "some faces, picture 1: votes must be numbers of 0 or more"),
        ((np.nan, 2, 2), "some faces, picture 1: (has no votes|votes must be numbers)"),
    ],
)
def test_votes_that_are_none_are_refused(votes: tuple[float, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TARGETS["votes"].read_answers(voted([0, 1], [(1, 0, 0), votes]), THREE)


def test_affect_is_two_numbers_and_alike_are_those_of_one_bin() -> None:
    answers = TARGETS["affect"].read_answers(faces([-1] * 5, valence=[-1, 1, 0.05, 0.1, np.nan], arousal=[-1, 1, 0.55, 0.59, 0]), ())
    assert answers.names == ("valence", "arousal") and len(answers.faces) == 4
    assert answers.faces.labels.tolist() == [0, 99, 57, 57]
    np.testing.assert_allclose(answers.values, [[-1, -1], [1, 1], [0.05, 0.55], [0.1, 0.59]], rtol=1e-6)


@pytest.mark.parametrize("arousal", [-2, 1.001, np.inf])
def test_affect_out_of_range_is_refused(arousal: float) -> None:
    with pytest.raises(DataError, match=rf"some faces, picture 1: valence 0, arousal {arousal:g}; both must lie between -1 and 1"):
        TARGETS["affect"].read_answers(faces([0, 0], valence=[0, 0], arousal=[0, arousal]), ())


def test_labels_are_sets() -> None:
    answers = TARGETS["labels"].read_answers(faces([0] * 4, emoreact_joy=[1, 0, 1, 1], emoreact_fear=[1, 0, 1, 0]), ())
    assert answers.names == ("joy", "fear") and answers.faces.labels.tolist() == [3, 0, 3, 1]
    np.testing.assert_array_equal(answers.values, [[1, 1], [0, 0], [1, 1], [1, 0]])
    with pytest.raises(DataError, match="picture 0: a label is neither 0 nor 1"):
        TARGETS["labels"].read_answers(faces([0], emoreact_joy=[2]), ())


@pytest.mark.parametrize(("target", "lacks"), [("votes", "votes_anger"), ("affect", "valence, arousal"), ("labels", "emoreact_")])
def test_a_data_set_that_does_not_know_is_refused(target: str, lacks: str) -> None:
    with pytest.raises(DataError, match=f"some faces: knows no .*{lacks}"):
        TARGETS[target].read_answers(faces([0, 1, 2]), THREE)


def test_clips_are_frames_in_order() -> None:
    order = faces([0] * 7, clip=["b", "a", "a", "b", "a", "c", "b"], frame=[2, 1, 0, 0, 2, 0, 1])
    assert list_clips(order, 3).tolist() == [[3, 6, 0], [2, 1, 4], [5, 5, 5]]
    assert list_clips(order, 1).tolist() == [[3], [2], [5]]
    assert list_clips(faces([0, 1]), 8).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"clip": ["a", None], "frame": [0, 1]}, "picture 1: is of no clip"),
        ({"clip": ["a", "a"], "frame": [0, 1], "subject": ["x", "y"]}, "frames of clip a have several persons or answers"),
    ],
)
def test_clips_that_are_none_are_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_clips(faces([0, 0], **metadata), 2)


def test_the_embedded_faces_know_all_of_them() -> None:
    read = find_reader("faces").read
    votes = TARGETS["votes"].read_answers(read("adults/game", size=32, colour="grey"), CLASSES)
    assert len(votes.faces) == 1212 and np.allclose(votes.values.sum(1), 1)
    assert 0.5 < (votes.faces.labels == read("adults/game", size=32, colour="grey").labels).mean() < 1
    labels = TARGETS["labels"].read_answers(read("clips", size=32, colour="grey"), ())
    rows = list_clips(labels.faces, 8)
    assert rows.shape == (120, 8) and labels.values.shape == (960, 8) and (labels.values[rows] == labels.values[rows[:, :1]]).all()


@given(st.data(), st.integers(2, 30))
def test_ccc_and_mse_against_other_formulas(data: st.DataObject, n: int) -> None:
    numbers = st.lists(st.floats(-1, 1, width=16), min_size=n, max_size=n)
    x, y = np.array(data.draw(numbers)), np.array(data.draw(numbers))
    assert metrics.mean_squared_error(x, y) == pytest.approx(oracle.mean_squared_error(y, x), abs=1e-12)
    if x.std() > 1e-3 and y.std() > 1e-3:  # Lin's coefficient in terms of Pearson's
        expected = 2 * np.corrcoef(x, y)[0, 1] * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        assert metrics.concordance_correlation(x, y) == pytest.approx(expected, abs=1e-9)
    assert metrics.concordance_correlation(x, x) == (pytest.approx(1) if np.ptp(x) else 0)


@given(st.integers(2, 5), st.integers(1, 20), st.integers(0, 99))
def test_f1_is_scikit_learns(labels: int, n: int, seed: int) -> None:
    predicted, true = np.random.default_rng(seed).random((2, n, labels)) < 0.4
    np.testing.assert_allclose(metrics.compute_f1_scores(predicted, true), oracle.f1_score(true, predicted, average=None, zero_division=0))


def test_scores_start_with_the_one_that_selects() -> None:
    n, rng = 40, np.random.default_rng(0)
    values = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    scores = TARGETS["affect"].compute_scores(values, np.zeros(n), values, ("valence", "arousal"))
    assert next(iter(scores)) == "ccc" and scores["ccc"] == pytest.approx(1) and scores["mse_arousal"] == 0
    sets = (rng.random((n, 3)) < 0.5).astype(np.float32)
    scores = TARGETS["labels"].compute_scores(sets * 0.9, np.zeros(n), sets, THREE)
    assert next(iter(scores)) == "f1" and scores["f1"] == 1 and scores["f1_fear"] == 1
    labels = rng.integers(0, 3, n)
    scores = TARGETS["label"].compute_scores(np.eye(3)[labels], labels, None, THREE)
    assert scores == {"accuracy": 1.0, "balanced_accuracy": 1.0}


@pytest.mark.parametrize("target", TARGETS)
def test_losses_fall_towards_the_answer(target: str) -> None:
    """200 steps on the outputs themselves bring the predictions near the answers."""
    torch.manual_seed(0)
    labels = torch.arange(6) % 3
    values = {"votes": torch.eye(3)[labels] * 0.7 + 0.1, "affect": torch.rand(6, 2) - 0.5, "labels": torch.eye(3)[labels]}.get(target)
    outputs = torch.zeros(6, 2 if target == "affect" else 3, requires_grad=True)
    optimizer = torch.optim.Adam([outputs], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        TARGETS[target].compute_loss(outputs, labels, values).backward()
        optimizer.step()
    expected = torch.eye(3)[labels] if values is None else values
    torch.testing.assert_close(TARGETS[target].compute_predictions(outputs).detach(), expected, atol=0.03, rtol=0)


def test_tiny_faces_have_labels_only() -> None:
    assert TARGETS["label"].read_answers(tiny.faces({"anger": 3, "fear": 2}), ("fear",)).values is None
