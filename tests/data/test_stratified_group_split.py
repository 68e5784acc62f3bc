"""Dealing persons out to parts: whole persons, every class in proportion, no part without a class that has enough images."""

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
    labels, persons = (np.array(each) for each in zip(*rows, strict=True))
    shares = tuple(part / sum(parts) for part in parts)
    found = split_groups(labels, persons, shares, np.random.default_rng(seed))
    assert len(found) == len(labels)
    assert all(len(set(found[persons == person])) == 1 for person in persons)
    assert all(shares[part] > 0 for part in found)
    assert np.array_equal(found, split_groups(labels, persons, shares, np.random.default_rng(seed)))


@given(st.lists(st.integers(4, 120), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_single_images_are_dealt_to_within_one_of_their_share(sizes, seed):
    """A share of less than one image counts as one, at the cost of the large ones."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    part = split_groups(labels, np.arange(len(labels)), SHARES, np.random.default_rng(seed))
    for label, size in enumerate(sizes):
        found = np.bincount(part[labels == label], minlength=4)
        small = max(1, 0.05 * size)
        wanted = np.array([size / 2 - small, small, small, size / 2 - small])
        assert found.all() and np.abs(found - wanted).max() < 1


def test_persons_of_many_classes_are_dealt_evenly():
    """172 children, nearly each in every class, as in the embedded set: a twentieth of them is one of every class."""
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(172), 7)
    labels = np.tile(np.arange(7), 172)
    there = rng.random(len(labels)) < 0.9
    part = split_groups(labels[there], persons[there], SHARES, rng)
    shares = np.array([np.bincount(part[labels[there] == label], minlength=4) / (labels[there] == label).sum() for label in range(7)])
    assert np.abs(shares - SHARES).max() < 0.015


def test_another_seed_deals_otherwise():
    labels, persons = np.zeros(50, int), np.arange(50)
    assert (
        split_groups(labels, persons, SHARES, np.random.default_rng(0)) != split_groups(labels, persons, SHARES, np.random.default_rng(1))
    ).any()
