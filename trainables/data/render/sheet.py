"""A contact sheet of the pack for the README: expressions as columns, domains as rows, and two clips frame by frame."""

import cv2
import numpy as np

from trainables.data.dataset import CLASSES
from trainables.data.render.faces_archive import Pack

ROWS = (("children 2-8", "children"), ("adults, posed", "adults/posed"), ("adults, wild", "adults/wild"), ("adults, game", "adults/game"))
CLIPS = (44, 18)
TILE, MARGIN, HEAD = 88, 124, 24


def find_recognised(pack: Pack, domain: str, label: str) -> np.ndarray:
    """Return the rows of two pictures, of different people, with the most votes for their label: the class where it is recognisable."""
    metadata = pack.metadata[(pack.metadata["domain"] == domain) & (pack.metadata["label"] == label)]
    metadata = metadata.sort_values(f"votes_{label}", ascending=False, kind="stable").drop_duplicates("subject")
    return metadata.index.to_numpy()[:2]


def draw_sheet(pack: Pack) -> np.ndarray:
    """Draw the sheet: uint8 [h, w, 3], RGB.

    It has two rows per labelled domain, with one column per class, then a row of eight frames for each of CLIPS.
    """
    canvas = np.full((HEAD + (2 * len(ROWS) + len(CLIPS)) * TILE, MARGIN + len(CLASSES) * TILE, 3), 255, np.uint8)

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)

    def paste(images: np.ndarray, places: list[tuple[int, int]]) -> None:
        for image, (line, column) in zip(images, places, strict=True):
            y, x = HEAD + line * TILE, MARGIN + column * TILE
            canvas[y : y + TILE, x : x + TILE] = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_CUBIC)

    for column, label in enumerate(CLASSES):
        write(label, MARGIN + column * TILE + 8, 16)
        for block, (_, domain) in enumerate(ROWS):
            paste(pack.decode_images(find_recognised(pack, domain, label)), [(2 * block, column), (2 * block + 1, column)])
    for block, (caption, _) in enumerate(ROWS):
        write(caption, 8, HEAD + (2 * block + 1) * TILE)
    for line, clip in enumerate(CLIPS, start=2 * len(ROWS)):
        frames = pack.metadata[(pack.metadata["domain"] == "clips") & (pack.metadata["clip"] == clip)]
        paste(pack.decode_images(frames.index.to_numpy()), [(line, column) for column in range(len(frames))])
        write(f"clip: {frames['label'].iloc[0]}", 8, HEAD + line * TILE + TILE // 2)
    return canvas
