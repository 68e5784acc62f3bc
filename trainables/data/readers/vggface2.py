"""VGGFace2 (Cao et al. 2018), and any folder whose subfolders are persons: faces for learning identities; no expressions."""

from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking, describe_unnamed
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import list_files, read_columns, require_folder

RELEASE = Release(subjects=9_131)
EXAMPLE = "train/n000002/0001_01.jpg"
META = "identity_meta.csv"


@register_reader(
    "vggface2",
    f"VGGFace2, or any folder of subjects: {EXAMPLE} or SUBJECT/NAME.jpg; each=N images of a subject",
    ("each", "crop", "landmarks"),
    source="robots.ox.ac.uk/~vgg/data/vgg_face2 (withdrawn)",
    licence="non-commercial research",
    release=RELEASE,
)
def read_vggface2(
    path: str, *, size: int, colour: str, population: str | None = None, each: str = "", crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read the images of each subject, or the first `each` of them. They are unlabelled.

    Folders train, val and test are the split, which is by subject. Metadata: `source`, `subject`, `split` if there is one, `sex` if
    identity_meta.csv is present. `population` is not verified. Raises DataError with the folder.
    """
    if each and (not each.isdecimal() or not int(each)):
        raise DataError(f"{path}: each={each!r} is not a number of images, 1 or more")
    root = require_folder(path, f"folders of subjects like {EXAMPLE}")
    sexes = _read_sexes(root)
    pictures, unnamed = [], []
    counts: dict[str, int] = {}
    split_of: dict[str, str] = {}
    for file in list_files(root):
        parts = file.split("/")
        split = parts[0].lower() if parts[0].lower() in ("train", "val", "test") else ""
        if len(parts) != (3 if split else 2):
            unnamed.append(file)
            continue
        subject = parts[-2]
        if split_of.setdefault(subject, split) != split:
            raise DataError(
                f"{root}: subject {subject} is in {split_of[subject] or 'no part'} and in {split or 'no part'}; one person, one part"
            )
        counts[subject] = counts.get(subject, 0) + 1
        if not each or counts[subject] <= int(each):
            pictures.append(FoundPicture(file, None, {"subject": subject, "sex": sexes.get(subject)} | ({"split": split} if split else {})))
    if not pictures:
        raise DataError(f"{root}: holds no folders of subjects like {EXAMPLE}; found {unnamed[0] if unnamed else 'no image'}")
    if len(splits := set(split_of.values())) > 1 and "" in splits:
        raise DataError(f"{root}: has a split, but subject {next(name for name, part in split_of.items() if not part)} lies outside it")
    released = (root / META).is_file() or all(name.startswith("n0") for name in split_of)
    notes = [*(describe_lacking(pictures, RELEASE) if released else []), *describe_unnamed(unnamed, EXAMPLE)]
    notes += [f"the first {each} of each subject, of {sum(counts.values()):,} images"] if each else []
    title = ", ".join(filter(None, ("VGGFace2" if released else f"subjects of {root.name}", "unlabelled", population)))
    return build_data_set(root, pictures, title=title, size=size, colour=colour, classes=(), notes=notes, crop=crop, landmarks=landmarks)


def _read_sexes(root: Path) -> dict[str, str]:
    """Return the sex of each subject from the release's table; empty if there is none."""
    if not (root / META).is_file():
        return {}
    return {name: sex.upper() for _, (name, sex) in read_columns(root / META, ("Class_ID", "Gender")) if sex.upper() in ("F", "M")}
