"""What the report says of copies, by what the trainings found and by the policy."""

from types import SimpleNamespace
from typing import Any

import pytest

from platform.report.copies import describe_run_copies, describe_run_split


def make_runs(*copies: dict[str, Any] | None, split: dict[str, Any] | None = None) -> Any:
    return SimpleNamespace(results=[None, *({"copies": found, "split": split} for found in copies)])


def make(policy: str = "drop", copied: int = 0, near: int = 0) -> dict[str, Any]:
    return {"policy": policy, "test": 50, "copied": copied, "near": near, "sides": {}}


CASES = [
    ((), ""),
    ((None, {}), ""),
    ((make(),), "No test image has an identical or mirrored copy in training."),
    (
        (make(copied=2), make(copied=9)),
        "Up to 9 of 50 test images had identical or mirrored copies in training; they are left out there.",
    ),
    (
        (make("allow", copied=9),),
        "Up to 9 of 50 test images have identical or mirrored copies in training; they are trained on (copies=allow).",
    ),
    (
        (make(near=3),),
        "No test image has an identical or mirrored copy in training. Up to 3 of 50 test images look nearly like an image in training.",
    ),
    (
        (make("drop-near", near=3),),
        "No test image has an identical or mirrored copy in training. Up to 3 of 50 test images looked nearly like an image in training, "
        "which is left out there.",
    ),
]


@pytest.mark.parametrize(("found", "text"), CASES)
def test_the_worst_training_is_told(found: tuple[dict[str, Any] | None, ...], text: str) -> None:
    assert describe_run_copies(make_runs(*found)) == text


def test_unit_and_overlap() -> None:
    split = {"unit": "image", "overlap": {"subject": {"known": 40, "shared": 10}, "sequence": {"known": 40, "shared": 0}}}
    assert describe_run_split(make_runs(make(), split=split)) == (
        "Unit of the split: image. 10 of 40 test images (25%) show a person who is in training, too. "
        "0 of 40 test images (0%) are frames of a sequence that is in training, too."
    )
    assert describe_run_split(make_runs(make())) == ""
