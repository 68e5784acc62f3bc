"""Pictures whose file names hold class and child: happiness_k01_3.png."""

import re
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, require_population
from trainables.data.dataset import DataError, Example, FaceDataset, register_reader
from trainables.data.files import list_files, require_folder

CLASSES = ("anger", "fear", "happiness")
NAME = re.compile(rf"({'|'.join(CLASSES)})_(k\d+)_\d+")
PICTURES = [(name, f"k{child:02d}") for child in (1, 2) for name in CLASSES]
EXAMPLE = Example(
    pictures={f"{name}_{child}_1.png": (name, {"subject": child}) for name, child in PICTURES},
    classes=CLASSES,
    population="children",
)


@register_reader("toy_reader", "toy pictures: happiness_k01_3.png", source="nobody", licence="none", example=EXAMPLE)
def read_toy(path: str, *, size: int, colour: str, population: str | None = None) -> FaceDataset:
    """Read every picture. Metadata: `source`, `subject`. DataError names the file."""
    require_population(path, population, "children", "the toy set")
    root = require_folder(path, "pictures like happiness_k01_3.png")
    pictures = []
    for file in list_files(root):
        if not (name := NAME.fullmatch(Path(file).stem)):
            raise DataError(f"{root / file}: is not named like happiness_k01_3.png")
        pictures.append(FoundPicture(file, name[1], {"subject": name[2]}))
    if not pictures:
        raise DataError(f"{root}: holds no picture like happiness_k01_3.png")
    return build_data_set(root, pictures, title="Toy", size=size, colour=colour, classes=CLASSES)
