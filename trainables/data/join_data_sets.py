"""Several data sets as one, such as the four sets of children of Goghberg et al. 2019, whose union is split, trained and tested on."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainables.data import decoded_cache
from trainables.data.build_data_set import order_classes
from trainables.data.dataset import AFFECT, DATA_SET, SHOWN, VOTES, DataError, FaceDataset, list_sets

PERSONAL = ("subject", "sequence", "clip")
"""Metadata that name persons, or what shows one person. In a union they begin with the name of the data set."""
CALLED_BY_FOLDER = ("images of ", "subjects of ")
"""Beginnings of the names of data sets that are called by their folders, so that two of one name may be different sets."""
BLOCK = 4096
"""Images that are copied at a time, because a whole data set may exceed the memory."""
SAMPLED, TINGE = 64, 8
"""Images of a data set whose colour is looked at, and the largest difference of two channels of a grey picture (of 255)."""


def join_data_sets(sets: Sequence[FaceDataset], names: Sequence[str]) -> FaceDataset:
    """Return the images of these data sets, one after another, as a data set. `names` tells whose persons are whose.

    Persons of equal names in data sets of equal names are one person; all others are different persons. The metadata have the further
    column `data_set`; a union among the sets keeps its own. The classes are those of all sets. Each set has its own split, if it has one.
    One set is returned as it is.
    """
    if len(sets) == 1:
        return sets[0]
    classes = order_classes(name for faces in sets for name in faces.classes)
    labels = [np.array([*map(classes.index, faces.classes), -1])[faces.labels] for faces in sets]
    images, key = _copy_images(sets)
    votes = [str(column) for faces in sets for column in faces.metadata if str(column).startswith(VOTES)]
    metadata = pd.concat([_name_persons(faces.metadata, name, votes) for faces, name in zip(sets, names, strict=True)], ignore_index=True)
    for name in ("mouth_open",):  # a set that does not know it makes it a column of objects
        if name in metadata:
            metadata[name] = metadata[name].astype("boolean")
    title = " and ".join(dict.fromkeys(faces.title for faces in sets))
    return FaceDataset(images, np.concatenate(labels), classes, metadata, title, origin=key)


def join_sources(sets: Sequence[FaceDataset], where: Sequence[str]) -> FaceDataset:
    """Return the union of the data sets that were read from `where`, in an order that does not depend on the given one.

    Title and notes state the number of images of each set. Raises DataError for sets that cannot be one: of the same images, rendered faces
    and photographs, or sets without a kind of answer in common.
    """
    found: dict[str, str] = {}
    for faces, place in zip(sets, where, strict=True):
        if faces.fingerprint in found:
            raise DataError(f"{found[faces.fingerprint]} and {place} hold the same images; name this data set once")
        found[faces.fingerprint] = place
    rendered = [place for faces, place in zip(sets, where, strict=True) if "rendered" in faces.title]
    if rendered and len(rendered) < len(sets):
        raise DataError(f"{rendered[0]}: rendered faces and photographs in one role; leave out one of them")
    _check_answers(sets, where)
    order = sorted(range(len(sets)), key=lambda number: sets[number].fingerprint)
    names = dict(zip(order, _name_sets([sets[number] for number in order], [where[number] for number in order]), strict=True))
    joined = join_data_sets([sets[number] for number in order], list(names.values()))
    titles = [faces.title + names[number].removeprefix(faces.name) for number, faces in enumerate(sets)]  # " (2)", if two have one name
    notes = [f"{title}: {len(faces):,} images" for title, faces in zip(titles, sets, strict=True)]
    notes += [type(note)(f"{title}: {note}") for title, faces in zip(titles, sets, strict=True) for note in faces.notes]
    title = " and ".join(f"{title} ({len(faces):,} images)" for title, faces in zip(titles, sets, strict=True))
    return replace(joined, title=title, notes=tuple(notes))


def check_colours(role: str, faces: FaceDataset) -> None:
    """Raise DataError if some data sets of a union read in colour are grey and others are not: a network would tell the sets apart."""
    grey: dict[bool, str] = {}
    for name, rows in list_sets(faces.metadata).items():
        sample = faces.images[rows[np.linspace(0, len(rows) - 1, min(SAMPLED, len(rows))).round().astype(int)]].astype(np.int16)
        grey[bool((sample.max(axis=1) - sample.min(axis=1)).max() <= TINGE)] = name
    if len(grey) > 1:
        advice = "train on grey images (--set colour=grey, or --only colour=grey where colour is an axis), or name sets of one kind"
        raise DataError(f"role {role}: {grey[True]} is grey and {grey[False]} is in colour; {advice}")


def _check_answers(sets: Sequence[FaceDataset], where: Sequence[str]) -> None:
    answers = [(place, _list_answers(faces)) for faces, place in zip(sets, where, strict=True)]
    for (here, ours), (there, theirs) in itertools.combinations(answers, 2):
        if ours and theirs and not ours & theirs:
            has = f"{here} has {' and '.join(sorted(ours))}, but {there} has {' and '.join(sorted(theirs))}"
            raise DataError(f"{has}; the data sets of one role need the same kind of answer")


def _list_answers(faces: FaceDataset) -> set[str]:
    columns = [str(name) for name in faces.metadata]
    known = {
        "labels": bool((faces.labels >= 0).any()),
        "votes": any(name.startswith(VOTES) for name in columns),
        "valence and arousal": set(AFFECT) <= set(columns),
        "several labels an image": any(name.startswith(SHOWN) for name in columns),
    }
    return {kind for kind, present in known.items() if present}


def _name_sets(sets: Sequence[FaceDataset], where: Sequence[str]) -> list[str]:
    """Return a name of each data set. Sets that are called by folders of one name, and lie at different paths, have different names."""
    paths: dict[str, list[str]] = {}
    names = []
    for faces, place in zip(sets, where, strict=True):
        known, path = paths.setdefault(faces.name, []), place.partition(",")[0]
        if path not in known:
            known.append(path)
        number = known.index(path) + 1
        names.append(f"{faces.name} ({number})" if number > 1 and faces.name.startswith(CALLED_BY_FOLDER) else faces.name)
    return names


def _name_persons(metadata: pd.DataFrame, name: str, votes: Sequence[str]) -> pd.DataFrame:
    """Return the metadata with the set's name, alone and before persons, and with 0 votes for classes that its raters could not choose."""
    if any(column in metadata for column in votes):
        absent = [column for column in dict.fromkeys(votes) if column not in metadata]
        metadata = pd.concat([metadata, pd.DataFrame(0, index=metadata.index, columns=absent)], axis=1)
    if DATA_SET in metadata:  # a union itself
        return metadata
    columns = {
        column: metadata[column].map(lambda value: value if pd.isna(value) else f"{name}: {value}").astype(object)
        for column in PERSONAL
        if column in metadata
    }
    return metadata.assign(**{DATA_SET: name}, **columns)


def _copy_images(sets: Sequence[FaceDataset]) -> tuple[np.ndarray, str]:
    """Return the sets' images, uint8 [n, c, s, s], from one file that all processes of a machine map, and their cache key."""
    shape = (sum(map(len, sets)), *sets[0].images.shape[1:])

    def make(file: Path) -> dict[str, Any]:
        decoded_cache.allocate_file(file, int(np.prod(shape)))
        with open(file, "r+b") as out:
            for faces in sets:
                for start in range(0, len(faces), BLOCK):
                    out.write(np.ascontiguousarray(faces.images[start : start + BLOCK]).data)
        return {"shape": shape, "dtype": "|u1", "root": ""}

    nowhere = Path(decoded_cache.get_cache_folder(), "joined")  # the sets' own folders were checked when they were decoded
    key = decoded_cache.make_key(nowhere, "joined", *(faces.fingerprint for faces in sets))
    return decoded_cache.get_or_make(key, make, nowhere)[0], key
