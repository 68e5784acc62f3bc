"""Measure how hard the embedded faces are, and how much worse a model of adults is on children: a linear probe on HOG, split by subject.

python benchmarks/face_gap.py prints a table and, as its last line, one JSON object. Accuracies are over seven classes (no contempt) and
are means over five folds of subjects. Across domains, the number of training images is the same as within a domain.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from trainables.data.dataset import CLASSES, FaceDataset, find_reader

SEVEN = tuple(name for name in CLASSES if name != "contempt")
FOLDS, RIDGE = 5, 30.0


def hog(faces: FaceDataset) -> np.ndarray:
    """Return histograms of oriented gradients of 48 x 48 grey images: float64 [n, 900]. The caller standardises them."""
    descriptor = cv2.HOGDescriptor((48, 48), (16, 16), (8, 8), (8, 8), 9)
    return np.stack([np.ravel(descriptor.compute(image[0])) for image in faces.images]).astype(np.float64)


def ridge(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the classes predicted for `test` by least squares on one-hot targets with an L2 penalty."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, test = (x - mean) / spread, (test - mean) / spread
    targets = np.eye(len(SEVEN))[y]
    offset = targets.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) / 10 * np.eye(x.shape[1]), x.T @ (targets - offset))
    return (test @ weights + offset).argmax(axis=1)


def folds(faces: FaceDataset) -> np.ndarray:
    """Return the fold of each image, 0 to FOLDS - 1. All images of a subject are in one fold."""
    subjects, code = np.unique(faces.metadata["subject"], return_inverse=True)
    order = np.random.default_rng(0).permutation(len(subjects))
    return (order % FOLDS)[code]


def main() -> None:
    read = find_reader("faces").read
    names = ("children", "adults", "adults/posed", "adults/wild", "adults/game")
    sets = {name: read(name, size=48, colour="grey").select_classes(SEVEN) for name in names}
    features = {name: hog(faces) for name, faces in sets.items()}
    split = {name: folds(faces) for name, faces in sets.items()}

    def score(train: str, test: str, size: int) -> float:
        """Return the accuracy on `test`'s folds after training on `size` images of `train`'s other folds."""
        accuracies = []
        for fold in range(FOLDS):
            rows = np.flatnonzero(split[train] != fold)
            rows = np.random.default_rng(fold).permutation(rows)[:size]
            held_out = split[test] == fold
            predicted = ridge(features[train][rows], sets[train].labels[rows], features[test][held_out])
            accuracies.append((predicted == sets[test].labels[held_out]).mean())
        return float(np.mean(accuracies))

    size = min(int((split[name] != fold).sum()) for name in ("children", "adults") for fold in range(FOLDS))
    pairs = [("adults", "adults"), ("adults", "children"), ("children", "adults"), ("children", "children")]
    result = {f"{a}->{b}": round(score(a, b, size), 4) for a, b in pairs}
    result |= {f"{name}->{name}": round(score(name, name, size), 4) for name in sets if "/" in name}
    result |= {"gap": round(result["children->children"] - result["adults->children"], 4), "train_images": size, "chance": round(1 / 7, 4)}
    print(f"HOG + ridge, seven classes, {FOLDS} folds by subject, {size} training images\n")
    for name, value in result.items():
        print(f"  {name:28} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
