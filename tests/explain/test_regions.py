"""Face regions: masks equal the boxes, energy shares sum to 1, and summaries over trainings can be recomputed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.explain.face_regions import (
    BOXES,
    REGIONS,
    MapEnergy,
    compute_energy_shares,
    correlate_maps,
    make_region_masks,
    summarise_energy,
    summarise_likeness,
    tabulate_shares,
)
from trainables.data.source import Source

BOX = {"left_eye": (36, 24, 46, 30), "right_eye": (18, 24, 28, 30), "left_brow": (34, 18, 48, 26), "right_brow": (16, 18, 30, 26)}
BOX |= {"mouth": (22, 44, 42, 54)}


def metadata(**boxes: tuple[float, ...]) -> pd.DataFrame:
    known = BOX | boxes
    return pd.DataFrame(
        [{f"{name}_{edge}": value for name in BOXES for edge, value in zip(("x0", "y0", "x1", "y1"), known[name], strict=True)}]
    )


def test_masks_are_the_boxes_at_every_size() -> None:
    at_64 = make_region_masks(metadata(), 64)
    assert at_64 is not None
    eyes, brows, mouth, elsewhere = at_64[0]
    expected = np.zeros((64, 64), bool)
    expected[24:30, 36:46] = expected[24:30, 18:28] = True
    assert np.array_equal(eyes, expected) and mouth.sum() == 20 * 10
    assert not (brows & eyes).any() and brows.sum() == 2 * 14 * 8 - 2 * 10 * 2  # two rows of each brow box belong to the eye
    assert np.array_equal(at_64[0].sum(0), np.ones((64, 64))) and elsewhere[0, 0]
    half = make_region_masks(metadata(), 32)
    assert half is not None and np.array_equal(half[0][2], mouth[::2, ::2])


def test_data_without_boxes_have_no_regions() -> None:
    assert make_region_masks(pd.DataFrame({"age": [3.0]}), 48) is None


@given(st.integers(0, 2**32 - 1), st.integers(8, 70))
def test_shares_add_up_and_an_even_map_has_the_areas(seed: int, size: int) -> None:
    masks = make_region_masks(metadata(), size)
    assert masks is not None
    shares = compute_energy_shares(np.random.default_rng(seed).random((1, size, size)), masks)
    assert shares.sum() == pytest.approx(1) and (shares >= 0).all()
    assert compute_energy_shares(np.full((1, size, size), 0.3), masks) == pytest.approx(masks.mean((2, 3)))
    assert np.isnan(compute_energy_shares(np.zeros((1, size, size)), masks)).all()
    mouth = masks[:, 2].astype(float)
    if mouth.any():
        assert compute_energy_shares(mouth, masks)[0].tolist() == [0, 0, 1, 0]


def test_the_embedded_faces_know_their_regions() -> None:
    """The boxes mark features that differ from the skin beside them: a darker brow above a lighter lid, red lips."""
    faces = Source("faces", population="children").read_faces(64, "rgb")
    masks = make_region_masks(faces.metadata, 64)
    assert masks is not None and (masks[:, :3].sum((2, 3)) > 0).mean() > 0.98
    levels = faces.images.astype(float)
    red = levels[:, 0] - levels[:, 1:].mean(1)
    lips = np.array([red[k][masks[k, 2]].mean() for k in range(len(faces))])
    assert (lips > np.array([red[k][masks[k, 3]].mean() for k in range(len(faces))])).mean() > 0.6


def test_likeness_is_a_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((3, 20, 20))
    assert correlate_maps(maps, maps**3) == pytest.approx([1, 1, 1]) and np.abs(correlate_maps(maps, rng.random((3, 20, 20)))).max() < 0.2
    assert correlate_maps(maps, 1 - maps) == pytest.approx([-1, -1, -1]) and np.isnan(correlate_maps(maps, np.ones((3, 20, 20)))).all()


def test_maps_that_are_empty_say_nothing() -> None:
    shares, right = np.full((3, 4), 0.25), np.array(["right", "right", "wrong"])
    empty = np.where(
        right[:, None] == "right", np.nan, shares
    )  # the untrained network has no map of any image that is classified correctly
    energies = [
        MapEnergy("a", 0, right, shares, empty, shares, np.full(3, np.nan)),
        MapEnergy("a", 1, right, shares, shares, shares, np.zeros(3)),
    ]
    rows = {row.answer: row for row in summarise_energy(energies) if row.region == "eyes"}
    assert (rows["right"].trained.n, rows["right"].untrained.n, rows["wrong"].untrained.n) == (2, 1, 2)
    assert summarise_likeness(energies)["a"].n == 1 and np.isnan(summarise_likeness(energies[:1])["a"].mean)
    none = summarise_energy([MapEnergy("a", 0, right, shares, np.full((3, 4), np.nan), shares, np.zeros(3))])
    assert all(np.isnan(row.untrained.mean) and row.trained.mean == 0.25 for row in none)


def test_numbers_are_means_over_trainings_of_right_and_wrong() -> None:
    rng = np.random.default_rng(2)
    energies = []
    for replicate in range(4):
        shares, untrained, area = (rng.dirichlet((1, 1, 1, 1), 10) for _ in range(3))
        right = np.arange(10) < (7 if replicate else 0)  # one training has no correct answer
        shares[8] = np.nan
        answers = np.where(right, "right", "wrong")
        energies.append(MapEnergy("a", replicate, answers, shares, untrained, area, rng.random(10)))
    rows = {(row.answer, row.region): row for row in summarise_energy(energies)}
    assert set(rows) == {(answer, region) for answer in ("right", "wrong") for region in REGIONS}
    mouths = [energy.shares[:7, 2].mean() for energy in energies[1:]]
    mouth = rows["right", "mouth"]
    assert mouth.trained.n == 3 and mouth.trained.mean == pytest.approx(np.mean(mouths)) and mouth.images == pytest.approx(7)
    assert mouth.trained.sd == pytest.approx(np.std(mouths, ddof=1)) and mouth.trained.low < mouth.trained.mean < mouth.trained.high
    assert sum(rows["right", region].trained.mean for region in REGIONS) == pytest.approx(1)
    assert rows["wrong", "eyes"].trained.n == 4
    assert summarise_likeness(energies)["a"].mean == pytest.approx(np.mean([energy.alike.mean() for energy in energies]))
    assert tabulate_shares(summarise_energy(energies)).shape == (8, 12)


def test_outputs_that_are_neither_right_nor_wrong_have_shares_of_their_own() -> None:
    rng = np.random.default_rng(3)
    shares, answers = rng.dirichlet((1, 1, 1, 1), 6), np.array(["valence", "arousal"] * 3)
    rows = {(row.answer, row.region): row for row in summarise_energy([MapEnergy("a", 0, answers, shares, shares, shares, np.zeros(6))])}
    assert {answer for answer, _ in rows} == {"valence", "arousal"}
    assert rows["valence", "eyes"].trained.mean == pytest.approx(shares[::2, 0].mean()) and rows["arousal", "eyes"].images == 3
