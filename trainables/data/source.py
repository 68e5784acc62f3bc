"""The data sources of a role, as the user names them: ROLE=KIND:PATH[,OPTION=VALUE], once or several times."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from trainables.data.dataset import DataError, FaceDataset, Reader, find_reader, readers
from trainables.data.fixed_test import fix_test_part
from trainables.data.join_data_sets import join_sources
from trainables.registry import BadRequest, describe_os_error, join_lines

POPULATIONS = ("children", "adults")
NOBODY = "no subjects are known: images of one person may be in training and in test, whatever the split"
"""Note of every labelled data set without subjects."""
FORM = "ROLE=KIND:PATH[,OPTION=VALUE]"


@dataclass(frozen=True)
class Source:
    """The data source of a role's faces."""

    kind: str
    """name of a reader"""
    path: str = ""
    """absolute path or URL; empty if the kind needs none"""
    population: str | None = None
    """ "children", "adults" or None (all)"""
    options: tuple[tuple[str, str], ...] = ()
    """options of the reader, such as ("ages", "/p/ages.csv")"""
    fixed_test: float = 0.0
    """share of the images that are the test set of every seed, if the data set has no official split; 0: the seed draws them"""

    def to_text(self) -> str:
        """Return `KIND:PATH[,OPTION=VALUE]`, which `parse_role` parses to an equal Source. Commas of a path are written `\\,`."""
        head = f"{self.kind}:{self.path}" if self.path else self.kind
        named = [("population", self.population)] if self.population else []
        named += [("fixed_test", f"{self.fixed_test:g}")] if self.fixed_test else []
        return ",".join(_escape_commas(part) for part in (head, *(f"{name}={value}" for name, value in (*named, *self.options))))

    def list_files(self) -> list[str]:
        """Return the files and folders on disk that it names."""
        options = [value for name, value in self.options if name in _list_path_options(find_reader(self.kind))]
        return [path for path in (self.path, *options) if os.path.isabs(path)]

    def read_faces(self, size: int, colour: str) -> FaceDataset:
        """Read the faces anew, uint8 [n, channels, size, size]. Raises DataError for what the reader refuses."""
        reader = find_reader(self.kind)
        if reader.on_disk and not self.path:
            raise DataError(f"{self.kind} needs a path: {self.kind}:PATH")
        _check_options(reader, self.options, self.kind)
        paths = _list_path_options(reader)
        options = {name: Path(value) if name in paths else value for name, value in self.options}
        try:
            faces = reader.read(self.path, size=size, colour=colour, population=self.population, **options)
        except UnicodeEncodeError as error:  # a file name that is not valid UTF-8
            raise DataError(f"{self.path}: a file's name is not UTF-8: {ascii(error.object)[:60]}; rename it") from None
        if (faces.labels >= 0).any() and "subject" not in faces.metadata:
            faces = replace(faces, notes=(*faces.notes, NOBODY))
        return fix_test_part(faces, self.fixed_test) if self.fixed_test else faces


@dataclass(frozen=True)
class SourceUnion:
    """Several data sources of one role. Their faces are one data set, whatever their order."""

    parts: tuple[Source, ...]

    @property
    def kind(self) -> str:
        return " and ".join(part.kind for part in self.parts)

    @property
    def population(self) -> str | None:
        """That of all parts, or None."""
        return self.parts[0].population if len({part.population for part in self.parts}) == 1 else None

    def to_text(self) -> str:
        return " and ".join(part.to_text() for part in self.parts)

    def list_files(self) -> list[str]:
        return [file for part in self.parts for file in part.list_files()]

    def read_faces(self, size: int, colour: str) -> FaceDataset:
        """Read the union of all parts. Raises DataError for what a reader refuses, and for sets that cannot be one (`join_sources`)."""
        return join_sources([part.read_faces(size, colour) for part in self.parts], [part.to_text() for part in self.parts])


def set_fixed_test(source: Source | SourceUnion, share: float) -> Source | SourceUnion:
    """Return the source with a fixed test part of this share in each of its data sets. A share that a user has given stays."""
    return join_parts([replace(part, fixed_test=part.fixed_test or share) for part in list_parts(source)])


def join_parts(sources: Sequence[Source]) -> Source | SourceUnion:
    """Return the source of a role that has these, one or more."""
    return sources[0] if len(sources) == 1 else SourceUnion(tuple(sources))


def list_parts(source: Source | SourceUnion) -> tuple[Source, ...]:
    """Return the single sources of a role's source."""
    return source.parts if isinstance(source, SourceUnion) else (source,)


def restore_source(content: dict[str, Any]) -> Source | SourceUnion:
    """Return the source that `dataclasses.asdict` has made plain containers of, also after JSON."""
    if "parts" in content:
        return SourceUnion(tuple(_restore_part(part) for part in content["parts"]))
    return _restore_part(content)


def _restore_part(content: dict[str, Any]) -> Source:
    return Source(**content | {"options": tuple(map(tuple, content["options"]))})


@lru_cache(maxsize=4)
def load_faces(source: Source | SourceUnion, size: int, colour: str) -> FaceDataset:
    """Return `source.read_faces`, cached in the process, so that a warm worker reads each set once. Later file changes are not seen."""
    return source.read_faces(size, colour)


def parse_role(text: str) -> tuple[str, Source]:
    """Parse `children=fer2013:/p/fer2013.csv,ages=/p/ages.csv` to its role and Source. A bare kind (`children=faces`) is valid.

    The roles "children" and "adults" imply that population unless `population=` names another. Paths are made absolute, because a worker
    runs in another folder. They may start with `~`. A comma in a path is written `\\,`. Equal signs need no escape.
    """
    role, separator, spec = text.partition("=")
    if not separator or not spec.strip():
        raise DataError(f"{text!r} is not a data source; {_describe_form()}")
    return _check_role(role, text), _parse_spec(role.strip(), spec, text, Path.cwd())


def parse_role_file(path: str | os.PathLike[str]) -> dict[str, tuple[Source, ...]]:
    """Return a YAML file's sources by role: `ROLE: KIND:PATH[,OPTION=VALUE]`, or `ROLE: {kind: KIND, path: PATH, OPTION: VALUE}`.

    A list of these is a role's several sources. Relative paths start at the file's own folder. In the second form, commas and equal signs
    need no escape.
    """
    file = Path(path)
    try:
        content = file.read_text(encoding="utf-8")
        roots = yaml.compose(content, yaml.SafeLoader)
        entries = yaml.safe_load(content)
    except OSError as error:
        raise DataError(f"{file}: {describe_os_error(error)}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file}: cannot be read as YAML ({join_lines(error)})") from None
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{file}: holds no roles; expected lines such as children: fer2013:/p/fer2013.csv,ages=/p/ages.csv")
    if roots is not None and len(roots.value) > len(entries):  # YAML would silently keep the last of a repeated role
        raise DataError(f"{file}: names a role twice; each of {', '.join(map(str, entries))} may stand once, with a list of its sources")
    return parse_role_entries(entries, file, file.absolute().parent)


def parse_role_entries(entries: dict[str, Any], where: str | os.PathLike[str], folder: Path) -> dict[str, tuple[Source, ...]]:
    """Return the sources by role of the entries of a YAML file, `where`. Relative paths start at `folder`."""
    sources = {}
    for role, entry in entries.items():
        place = f"{where}, {role}"
        name = _check_role(str(role), place)
        listed = entry if isinstance(entry, list) else [entry]
        if not listed:
            raise DataError(f"{place}: the list of its sources is empty")
        sources[name] = tuple(_parse_entry(name, part, place, folder) for part in listed)
    return sources


def is_role_file(option: str) -> bool:
    """Return whether an option --data names a YAML file of roles."""
    return option.endswith((".yaml", ".yml"))


def parse_roles(option: str) -> dict[str, tuple[Source, ...]]:
    """Return the sources of an option --data by role: of one ROLE=KIND:PATH, or of a YAML file of roles."""
    if is_role_file(option):
        return parse_role_file(option)
    role, source = parse_role(option)
    return {role: (source,)}


def _parse_entry(role: str, entry: object, where: str, folder: Path) -> Source:
    """Return the Source of a YAML file's entry."""
    if isinstance(entry, dict):
        return _build_source(role, {str(key): value for key, value in entry.items()}, where, folder)
    if isinstance(entry, str):
        return _parse_spec(role, entry, where, folder)
    raise DataError(f"{where}: {entry!r} is neither KIND:PATH nor a mapping with kind and path")


def _parse_spec(role: str, spec: str, where: str, folder: Path) -> Source:
    """Parse KIND:PATH[,OPTION=VALUE] to a Source."""
    head, *rest = [re.sub(r"\\([\\,])", r"\1", part) for part in re.findall(r"(?s)(?:^|,)((?:\\[\\,]|[^,])*)", spec)]
    kind, _, path = head.partition(":")
    fields: dict[str, object] = {"kind": kind.strip(), "path": path}
    for part in rest:
        name, separator, value = part.partition("=")
        name = name.strip()
        if not separator or not name or not value:
            raise DataError(f"{where}: {part!r} is no OPTION=VALUE (a comma in a path is written \\,); {_describe_form()}")
        if name in fields:
            raise DataError(f"{where}: {name} is given twice")
        fields[name] = value
    return _build_source(role, fields, where, folder)


def _build_source(role: str, fields: dict[str, object], where: str, folder: Path) -> Source:
    """Return the Source of these fields, checked against the reader of their kind."""
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError(f"{where}: {name} is {value!r}, which is not text")
        if "\0" in str(value):  # invalid in a file name
            raise DataError(f"{where}: {name} holds a null character".replace("\0", "\\0"))
    values = {name: str(value) for name, value in fields.items()}
    kind = values.pop("kind", "")
    if not kind:
        raise DataError(f"{where}: names no kind of data set; {_describe_form()}")
    try:
        reader = find_reader(kind)
    except BadRequest as error:
        raise DataError(f"{where}: {error}; expected {FORM}") from None
    path = values.pop("path", "")
    path = _make_absolute(path, folder) if reader.on_disk else path.strip()
    population = values.pop("population", role if role in POPULATIONS else None)
    if population not in (None, *POPULATIONS):
        raise DataError(f"{where}: unknown population {population!r} (known: {', '.join(POPULATIONS)})")
    fixed_test = _parse_share(values.pop("fixed_test", "0"), where)
    options = tuple(
        (name, _make_absolute(value, folder) if name in _list_path_options(reader) else value) for name, value in values.items()
    )
    _check_options(reader, options, where)
    return Source(kind, path, population, options, fixed_test)


def _parse_share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise DataError(f"{where}: fixed_test={text} is not a share between 0 and 1")
    return share


def _check_options(reader: Reader, options: tuple[tuple[str, str], ...], where: str) -> None:
    for name, _ in options:
        if name not in reader.options:
            raise DataError(
                f"{where}: {reader.kind} has no option {name!r} (known: {', '.join(('population', 'fixed_test', *reader.options))})"
            )


def _list_path_options(reader: Reader) -> set[str]:
    """Return the options of a reader that name files: those that its function annotates as Path."""
    hints = get_type_hints(reader.read)
    return {name for name in reader.options if hints.get(name) in (Path, Path | None)}


def _make_absolute(path: str, folder: Path) -> str:
    return path if not path or "://" in path else os.path.abspath(folder / os.path.expanduser(path))


def _escape_commas(part: str) -> str:
    return re.sub(r"[\\,]", r"\\\g<0>", part)


def _check_role(role: str, where: str) -> str:
    if not re.fullmatch(r"\w[\w-]*", role.strip()):
        raise DataError(f"{where!r}: {role!r} is not a role; {_describe_form()}")
    return role.strip()


def _describe_form() -> str:
    return f"expected {FORM} with KIND one of {', '.join(readers())}"
