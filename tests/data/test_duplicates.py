"""Duplicates: identical images are grouped as by a plain loop. Near twins of rendered faces are found, and different faces are not."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import duplicates
from trainables.data.image_hashes import hash_images
from trainables.data.source import Source


def find_near(images: np.ndarray) -> list[np.ndarray]:
    return duplicates.find_near(images, hash_images(images))


@given(st.lists(st.integers(0, 4), max_size=12))
def test_identical_images_are_grouped_as_a_plain_loop_does(values):
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 1, 4, 4), np.uint8)
    expected = [[row for row, other in enumerate(values) if other == value] for value in dict.fromkeys(values)]
    assert [group.tolist() for group in duplicates.find_identical(images)] == [rows for rows in expected if len(rows) > 1]


def test_near_twins_of_rendered_faces():
    """Recompressed, brightened and slightly resized copies are found. None of 300 different faces is taken for a twin of another."""
    faces = Source("faces", population="children").read_faces(48, "grey").images[:300]
    assert find_near(faces) == []
    copies = []
    for number, face in enumerate(faces[:30, 0]):
        if number % 3 == 0:
            coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
            copies.append(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
        elif number % 3 == 1:
            copies.append(np.clip(face * 0.9 + 12, 0, 255).astype(np.uint8))
        else:
            copies.append(cv2.resize(cv2.resize(face, (40, 40)), (48, 48)))
    groups = [sorted(group.tolist()) for group in find_near(np.concatenate((faces, np.array(copies)[:, None])))]
    assert len(groups) >= 27 and all(group == [group[0], 300 + group[0]] for group in groups)


def test_near_twins_are_linked_into_one_group():
    faces = Source("faces", population="adults").read_faces(48, "rgb").images[:5]
    groups = find_near(np.concatenate((faces, faces[:2], faces[:1])))
    assert sorted(map(sorted, (group.tolist() for group in groups))) == [[0, 5, 7], [1, 6]]
    assert find_near(faces[:0]) == [] and duplicates.find_identical(faces[:0]) == []
