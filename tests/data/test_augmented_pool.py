"""The pool of augmented images: which images it holds, in which view, how often, and what a probe receives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.augment import Augmentation
from trainables.data.augmented_pool import Domain, Pool, build_pool
from trainables.data.dataset import DataError
from trainables.data.task import Images

NOTHING = Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0)
"""leaves every image unchanged, so that its grey level identifies it"""


def images(labels: list[int], first: int) -> Images:
    """Return images of constant grey level: image i has the level `first` + i."""
    levels = torch.arange(first, first + len(labels), dtype=torch.uint8)
    return Images(levels.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous(), torch.tensor(labels), np.arange(len(labels)))


TRAIN = images([0, 1, 2, 0, 1, 2], first=0)
PARTNER = images([2, 1, 0, 0, 1, 2, 2, 1], first=100)
LABELS = {level: label for each, first in ((TRAIN, 0), (PARTNER, 100)) for level, label in enumerate(each.labels.tolist(), first)}


def crafted(domain: Domain, passes: int = 3, views: int = 2, seed: int = 0, partner: Images | None = PARTNER) -> Pool:
    return build_pool(TRAIN, partner, domain, passes, views, NOTHING, np.random.default_rng(seed))


def levels(views: torch.Tensor) -> np.ndarray:
    """Return the grey level of each image, which must be constant."""
    flat = views.flatten(-3)
    assert (flat == flat[..., :1]).all()
    return flat[..., 0].numpy()


@given(st.sampled_from(["c", "c+a", "c<-a"]), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32))
def test_every_pass_holds_every_image_once(domain: Domain, passes: int, views: int, seed: int) -> None:
    pool = crafted(domain, passes, views, seed)
    size = 12 if domain == "c+a" else 6
    seen = levels(pool.views)
    assert len(pool) == passes * size and seen.shape == (passes * size, 2 if domain == "c<-a" else views)
    assert pool.views.dtype == torch.uint8 and pool.target.shape == seen.shape
    assert ((seen < 100) == pool.target.numpy()).all()
    for part in np.split(seen, passes):
        assert part[:6, 0].tolist() == list(range(6))
        if domain == "c+a":
            assert len(set(part[6:, 0])) == 6 and (part[6:] >= 100).all()  # no partner occurs twice in a pass
        if domain == "c<-a":
            assert (part[:, 1] >= 100).all()
        else:
            assert (part == part[:, :1]).all()  # all views show one image
    assert all(LABELS[level] == label for row, label in zip(seen, pool.labels.tolist(), strict=True) for level in row)


@pytest.mark.parametrize("domain", ["c+a", "c<-a"])
def test_every_pass_draws_partners_afresh_and_from_all(domain: Domain) -> None:
    seen = levels(crafted(domain, passes=200).views)
    drawn = [tuple(part[part >= 100]) for part in np.split(seen, 200)]
    assert len(set(drawn)) > 100
    counts = np.bincount(np.concatenate(drawn) - 100, minlength=8)
    expected = {
        "c+a": [n / 8 for n in [1200 * (1 + (domain == "c+a"))] * 8],
        "c<-a": [400 / 3, 400 / 3, 200, 200, 400 / 3, 400 / 3, 400 / 3, 400 / 3],
    }
    assert (np.abs(counts - expected[domain]) < 6 * np.sqrt(expected[domain])).all()


def test_more_images_than_partners() -> None:
    few = images([0, 1, 2], first=100)
    assert levels(crafted("c+a", partner=few).views).max() == 102 and len(crafted("c+a", partner=few)) == 36


@pytest.mark.parametrize(("domain", "views"), [("c", 2), ("c+a", 2), ("c<-a", 1)])
def test_a_probe_is_given_the_targets_crafted_images_alone(domain: Domain, views: int) -> None:
    pixels, labels = crafted(domain, passes=3).get_target_views()
    assert np.bincount(levels(pixels)).tolist() == [3 * views] * 6
    assert [LABELS[level] for level in levels(pixels)] == labels.tolist()


def test_every_view_of_every_pass_is_augmented_anew() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, 16, 16), dtype=np.uint8))
    pool = build_pool(TRAIN._replace(pixels=noise), None, "c", 3, 2, Augmentation(), np.random.default_rng(0))
    views = pool.views.unflatten(0, (3, 6)).transpose(0, 1).flatten(1, 2)  # grouped by image
    for image_views in views:
        assert len({view.numpy().tobytes() for view in image_views}) == 6
    again = build_pool(TRAIN._replace(pixels=noise), None, "c", 3, 2, Augmentation(), np.random.default_rng(0))
    assert torch.equal(again.views, pool.views)


def test_a_partner_is_needed() -> None:
    for domain in ("c+a", "c<-a"):
        with pytest.raises(DataError, match="mixes in a second data set, and the task has none"):
            crafted(domain, partner=None)
    assert len(crafted("c", partner=None)) == 18
    with pytest.raises(DataError, match="the partner data set has no image of class 2"):
        crafted("c<-a", partner=images([0, 1], first=100))
