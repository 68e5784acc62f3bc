"""Assignment of persons to parts: whole persons, each class in proportion, and each class in every part if it has enough images."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.stratified_group_split import split_groups

SHARES = (0.45, 0.05, 0.05, 0.45)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=200),
    st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(sum),
    st.integers(0, 2**32 - 1),
)
def test_nobody_is_in_two_parts_and_a_part_without_a_share_is_empty(rows, parts, seed):
    labels, persons = (np.array(column) for column in zip(*rows, strict=True))
    shares = tuple(part / sum(parts) for part in parts)
    assigned = split_groups(labels, persons, shares, np.random.default_rng(seed))
    assert len(assigned) == len(labels)
    assert all(len(set(assigned[persons == person])) == 1 for person in persons)
    assert all(shares[part] > 0 for part in assigned)
    assert np.array_equal(assigned, split_groups(labels, persons, shares, np.random.default_rng(seed)))


@given(st.lists(st.integers(4, 120), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_single_images_are_dealt_to_within_one_of_their_share(sizes, seed):
    """A share of less than one image counts as one image, which the large shares give up."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    part = split_groups(labels, np.arange(len(labels)), SHARES, np.random.default_rng(seed))
    for label, size in enumerate(sizes):
        counts = np.bincount(part[labels == label], minlength=4)
        small = max(1, 0.05 * size)
        expected = np.array([size / 2 - small, small, small, size / 2 - small])
        assert counts.all() and np.abs(counts - expected).max() < 1


def test_persons_of_many_classes_are_dealt_evenly():
    """172 children, nearly all with an image of every class, as in the embedded set: a twentieth of them is a twentieth of every class."""
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(172), 7)
    labels = np.tile(np.arange(7), 172)
    present = rng.random(len(labels)) < 0.9
    part = split_groups(labels[present], persons[present], SHARES, rng)
    shares = np.array([np.bincount(part[labels[present] == label], minlength=4) / (labels[present] == label).sum() for label in range(7)])
    assert np.abs(shares - SHARES).max() < 0.015


def test_another_seed_deals_otherwise():
    labels, persons = np.zeros(50, int), np.arange(50)
    assert (
        split_groups(labels, persons, SHARES, np.random.default_rng(0)) != split_groups(labels, persons, SHARES, np.random.default_rng(1))
    ).any()
