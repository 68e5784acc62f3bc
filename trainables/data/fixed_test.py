"""Fixed test part: test images that are the same for every seed, so that no image selects settings under one seed and tests them later.

Data sets with an official split keep it.
"""

from dataclasses import replace

import numpy as np

from trainables.data.dataset import FIXED_TEST, DataError, FaceDataset
from trainables.data.stratified_group_split import split_groups
from trainables.random_streams import make_generator

USUAL_SHARE = 0.3
"""share of a data set whose task states no share of test images"""


def fix_test_part(faces: FaceDataset, share: float) -> FaceDataset:
    """Return the data set with a test part of about this share (0 to 1), drawn by person and class, as its official split.

    Copies of an image, and frames of a clip, are in one part. A data set with an official test or validation part is returned as it is.
    Raises DataError where one part would be empty.
    """
    metadata = faces.metadata
    if "split" in metadata and metadata["split"].isin(("val", "test")).any():
        return faces
    groups = faces.persons
    if "clip" in metadata and "subject" not in metadata:
        groups = metadata["clip"].to_numpy(object)
    part = split_groups(faces.labels + 1, groups, (1 - share, share), make_generator(0, "fixed test"))  # images without a label are a class
    is_test = part == 1
    if is_test.all() or not is_test.any():
        raise DataError(f"{faces.title}: a fixed test part of {share:g} leaves no image for training or for test; name another share")
    note = f"{is_test.sum():,} of {len(faces):,} images are a test part that is the same for every seed (fixed_test={share:g})"
    marked = metadata.assign(split=np.where(is_test, "test", "train"), **{FIXED_TEST: True})
    return replace(faces, metadata=marked, notes=(*faces.notes, note))
