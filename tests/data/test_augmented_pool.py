"""The pool of augmented images: which images it holds, in which view, and how often."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import augmented_pool
from trainables.data.augment import Augmentation
from trainables.data.augmented_pool import Domain, Pool, PoolSettings, build_pool, count_items
from trainables.data.dataset import DataError
from trainables.data.task import Images, Task

NOTHING = Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0)
"""leaves every image unchanged, so that its grey level identifies it"""


def images(labels: list[int], first: int) -> Images:
    """Return images of constant grey level: image i has the level `first` + i."""
    levels = torch.arange(first, first + len(labels), dtype=torch.uint8)
    return Images(levels.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous(), torch.tensor(labels), np.arange(len(labels)))


TRAIN = images([0, 1, 2, 0, 1, 2], first=0)
PARTNER = images([2, 1, 0, 0, 1, 2, 2, 1], first=100)
LABELS = {level: label for each, first in ((TRAIN, 0), (PARTNER, 100)) for level, label in enumerate(each.labels.tolist(), first)}


def task(train: Images, partner: Images | None) -> Task:
    return Task(("x", "y", "z"), train, train, train, "", {}, {"adults": partner} if partner else {})


def crafted(domain: Domain, passes: int = 3, views: int = 2, seed: int = 0, partner: Images | None = PARTNER) -> Pool:
    return build_pool(task(TRAIN, partner), PoolSettings(domain, passes, NOTHING, seed), views)


def levels(pool: Pool) -> np.ndarray:
    """Return the grey level [n, v] of each item's views; every image must be constant."""
    views = [torch.cat(parts).flatten(1) for parts in pool.views]
    assert all((view == view[:, :1]).all() and view.dtype == torch.uint8 for view in views)
    return torch.stack([view[:, 0] for view in views], dim=1).numpy()


@given(st.sampled_from(["c", "c+a", "c<-a"]), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32))
def test_every_pass_holds_every_image_once(domain: Domain, passes: int, views: int, seed: int) -> None:
    pool = crafted(domain, passes, views, seed)
    seen = levels(pool)
    assert len(pool) == count_items(6, domain, passes) == passes * (12 if domain == "c+a" else 6)
    assert seen.shape == (len(pool), 2 if domain == "c<-a" else views)
    targets, partners = seen[: 6 * passes], seen[6 * passes :]
    assert targets[:, 0].tolist() == list(range(6)) * passes
    if domain == "c+a":
        assert (partners >= 100).all()
        assert all(len(set(part[:, 0])) == 6 for part in np.split(partners, passes))  # no partner occurs twice in a pass
    if domain == "c<-a":
        assert (targets[:, 1] >= 100).all()
    else:
        assert (seen == seen[:, :1]).all()  # all views show one image
    assert all(LABELS[level] == label for row, label in zip(seen, pool.labels.tolist(), strict=True) for level in row)


@pytest.mark.parametrize("domain", ["c+a", "c<-a"])
def test_every_pass_draws_partners_afresh_and_from_all(domain: Domain) -> None:
    seen = levels(crafted(domain, passes=200, views=1))
    partners = seen[1200:, 0] if domain == "c+a" else seen[:, 1]
    drawn = [tuple(part) for part in np.split(partners, 200)]
    assert len(set(drawn)) > 100
    counts = np.bincount(partners - 100, minlength=8)
    expected = {"c+a": [150] * 8, "c<-a": [400 / 3, 400 / 3, 200, 200, 400 / 3, 400 / 3, 400 / 3, 400 / 3]}
    assert (np.abs(counts - expected[domain]) < 6 * np.sqrt(expected[domain])).all()


def test_fixed_targets_stay_while_partners_are_drawn_anew() -> None:
    epochs = [PoolSettings("c<-a", 3, Augmentation(), 5, partners_when=epoch, partners_augmented=epoch) for epoch in (0, 1)]
    first, second = (build_pool(task(TRAIN, PARTNER), settings, 2) for settings in epochs)
    assert torch.equal(first.views[0][0], second.views[0][0]) and not torch.equal(first.views[1][0], second.views[1][0])


def test_a_view_of_the_targets_is_the_same_in_every_domain() -> None:
    """So that its fixed maps are computed once, and methods are compared on the same crops."""
    shared = task(TRAIN, PARTNER)
    pools = [build_pool(shared, PoolSettings(domain, 2, Augmentation(), 7), 2) for domain in ("c", "c+a", "c<-a")]
    assert all(torch.equal(pool.views[0][0], pools[0].views[0][0]) for pool in pools)
    assert torch.equal(pools[0].views[1][0], pools[1].views[1][0])
    alone = build_pool(task(TRAIN, None), PoolSettings("c", 2, Augmentation(), 7), 1)
    assert torch.equal(alone.views[0][0], pools[0].views[0][0])


def test_fixed_views_are_kept_up_to_a_limit_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, settings = task(TRAIN, PARTNER), PoolSettings("c+a", 2, Augmentation(), 7)
    first, again = (build_pool(shared, settings, 2) for _ in range(2))
    assert all(one is other for of_view in zip(first.views, again.views, strict=True) for one, other in zip(*of_view, strict=True))
    assert len(shared.kept_views) == 4
    build_pool(shared, settings._replace(targets_when=0, partners_augmented=0), 2)
    assert len(shared.kept_views) == 4
    monkeypatch.setattr(augmented_pool, "KEPT", 5 * 12 * 64)  # room for five views of 12 images
    build_pool(shared, settings._replace(seed=8), 2)
    assert len(shared.kept_views) == 5 and sum(view.nbytes for view in shared.kept_views.values()) <= augmented_pool.KEPT
    other = build_pool(replace(shared, train=TRAIN.take_rows(np.arange(4))), settings, 1)
    assert len(other) == 16


def test_more_images_than_partners() -> None:
    few = images([0, 1, 2], first=100)
    assert levels(crafted("c+a", partner=few)).max() == 102 and len(crafted("c+a", partner=few)) == 36


def test_every_view_of_every_pass_is_augmented_anew() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, 16, 16), dtype=np.uint8))
    settings = PoolSettings("c", 3, Augmentation(), 0)
    pool = build_pool(task(TRAIN._replace(pixels=noise), None), settings, 2)
    views = torch.stack([parts[0].unflatten(0, (3, 6)) for parts in pool.views])  # [views, passes, images, ...]
    for image in range(6):
        assert len({view.numpy().tobytes() for view in views[:, :, image].flatten(0, 1)}) == 6
    again = build_pool(task(TRAIN._replace(pixels=noise), None), settings, 2)
    assert all(torch.equal(*parts) for of_view in zip(pool.views, again.views, strict=True) for parts in zip(*of_view, strict=True))


def test_a_partner_is_needed() -> None:
    for domain in ("c+a", "c<-a"):
        with pytest.raises(DataError, match="mixes in a second data set, and the task has none"):
            crafted(domain, partner=None)
    assert len(crafted("c", partner=None)) == 18
    with pytest.raises(DataError, match="the partner data set has no image of class 2"):
        crafted("c<-a", partner=images([0, 1], first=100))
