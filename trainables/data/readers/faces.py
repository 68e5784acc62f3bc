"""The embedded data set: rendered faces of children and adults, always available."""

import numpy as np

from trainables.data.dataset import CLASSES, DataError, FaceDataset, register_reader
from trainables.data.decode import crop_square
from trainables.data.render import faces_archive

TITLES = {
    "children": "rendered faces, children 2-8 (embedded)",
    "adults": "rendered faces, adults 20-70 (embedded)",
    "adults/posed": "rendered faces, adults 20-70, posed (embedded)",
    "adults/wild": "rendered faces, adults 20-70, in the wild (embedded)",
    "adults/game": "rendered faces, adults 20-70, game webcam (embedded)",
    "unlabelled": "rendered faces, unlabelled (embedded)",
    "clips": "rendered faces, clips of children 4-12 (embedded)",
}
GROWN_UP = 18


@register_reader(
    "faces",
    "the embedded rendered faces: children, adults, adults/posed|wild|game, unlabelled, clips",
    source="they are here",
    licence="CC0",
    on_disk=False,
)
def read_rendered_faces(path: str, *, size: int, colour: str, population: str | None = None) -> FaceDataset:
    """Return one domain of the embedded pack. An empty `path` means the domain of the population.

    The label is the expression that the person was asked to show. Images of `unlabelled` have no label (-1); their true label is the
    metadata `truth`. Frames of a clip carry its main label; the metadata `emoreact_*` hold all its labels. Further metadata: `style`,
    `intensity` (0 to 1), pose (`yaw`, `pitch`, `roll`, degrees), shares of ethnicity, `valence` and `arousal` (-1 to 1), the votes of
    ten raters `votes_*`, the facial units `au_*` (percent), boxes of eyes, brows and mouth (`mouth_x0` ..., pixels of the 64 x 64
    original, x1 and y1 exclusive), and for clips `clip` and `frame`.
    """
    domain = path or population or ""
    if domain not in TITLES:
        raise DataError(f"faces: no domain {domain!r} (known: {', '.join(TITLES)})")
    pack = faces_archive.read_archive()
    table = pack.metadata
    selected = (table["domain"] == domain) | table["domain"].str.startswith(f"{domain}/")
    if population:
        selected &= (table["age"] < GROWN_UP) == (population == "children")
    rows = np.flatnonzero(selected)
    if not len(rows):
        raise DataError(f"faces:{domain} has no {population}")

    metadata = table.iloc[rows].reset_index(drop=True).dropna(axis="columns", how="all").copy()
    metadata["source"] = f"{faces_archive.PACK.name}:" + metadata.pop("name")
    intended = metadata.pop("label")
    classes = tuple(name for name in CLASSES if (intended == name).any()) + tuple(sorted(set(intended) - set(CLASSES)))
    labels = intended.map({name: code for code, name in enumerate(classes)}).to_numpy(np.int64)
    if domain == "unlabelled":
        metadata["truth"], labels = intended, np.full(len(rows), -1)
    integer_columns = [name for name in ("clip", "frame", *(f"emoreact_{label}" for label in faces_archive.EMOREACT)) if name in metadata]
    metadata = metadata.drop(columns=["domain", "bytes"]).astype(dict.fromkeys(integer_columns, int))
    images = np.stack([crop_square(image, size, colour) for image in pack.decode_images(rows)])
    return FaceDataset(images, labels, classes, metadata, TITLES[domain])
