"""Imports go one way, platform -> search_spaces -> trainables, and only certain files import Ray. The source is read with `ast`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("platform", "search_spaces", "trainables", "tests", "benchmarks")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py")) + sorted(ROOT.glob("*.py"))
COMMANDS = {file.stem for file in (ROOT / "platform").iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}


def imports(source: str, package: str = "") -> set[str]:
    """Return every module that `source` may import at any place. `from a import b` counts as a and a.b, because b may be a module.

    `package` is the dotted package of the file, for relative imports.
    """
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            modules |= {module} | {f"{module}.{name.name}" for name in node.names}
    return modules


def imported_by(file: Path) -> set[str]:
    return imports(file.read_text(encoding="utf-8"), ".".join(file.relative_to(ROOT).parent.parts))


def of(names: set[str], *modules: str) -> set[str]:
    """Return those of `names` that are one of `modules` or below one."""
    return {name for name in names if any(name == module or name.startswith(f"{module}.") for module in modules)}


def files_of(*rooms: str) -> list:
    return [pytest.param(file, id=str(file.relative_to(ROOT))) for file in FILES if file.relative_to(ROOT).parts[0] in rooms]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("import ray", "ray"),
        ("import ray.tune as t", "ray.tune"),
        ("from ray import tune", "ray.tune"),
        ("def f():\n    from ray.tune.search import Searcher", "ray.tune.search"),
        ("if TYPE_CHECKING:\n    import platform.grid", "platform.grid"),
        ("from platform import grid", "platform.grid"),
        ("from . import slot", "trainables.data.slot"),
        ("from ..slot import Slot", "trainables.slot"),
        ("from .. import slot", "trainables.slot"),
    ],
)
def test_every_form_of_import_is_seen(source, seen):
    assert seen in imports(source, "trainables.data")


@pytest.mark.parametrize("file", files_of("trainables"))
def test_trainables_import_nothing_above_them(file):
    names = imported_by(file)
    assert not of(names, "search_spaces", *(f"platform.{command}" for command in COMMANDS))
    if file != ROOT / "trainables" / "workers" / "trial_actor.py":
        assert not of(names, "ray"), "in trainables only trial_actor.py imports Ray"


@pytest.mark.parametrize("file", files_of("search_spaces"))
def test_search_spaces_import_no_command(file):
    assert not of(imported_by(file), *(f"platform.{command}" for command in COMMANDS))


@pytest.mark.parametrize("file", files_of("platform"))
def test_only_two_files_import_tune(file):
    if file not in [ROOT / "platform" / "launch" / name for name in ("run_with_tune.py", "asha.py")]:
        assert not of(imported_by(file), "ray.tune")


def test_no_two_packages_of_platform_import_each_other():
    packages = sorted(COMMANDS - {"__init__", "__main__"})
    needs = {
        package: {
            other
            for other in packages
            if any(
                of(imported_by(file.values[0]), f"platform.{other}")
                for file in files_of("platform")
                if file.values[0].parent.name == package or file.values[0].parent.parent.name == package
            )
        }
        - {package}
        for package in packages
    }
    for _ in packages:  # remove packages that import no remaining package, until only cycles remain
        needs = {package: needed & set(needs) for package, needed in needs.items() if needed & set(needs)}
    assert not needs, "these import each other"


@pytest.mark.parametrize("file", files_of("platform", "trainables"))
def test_only_one_file_uses_private_parts_of_ray(file):
    if file != ROOT / "platform" / "launch" / "ray_internals.py":
        private = {name for name in of(imported_by(file), "ray") if any(part.startswith("_") for part in name.split("."))}
        assert not private and "ray._" not in file.read_text(encoding="utf-8")


def test_the_name_imports_nothing_of_ours():
    assert {name.partition(".")[0] for name in imported_by(ROOT / "platform" / "__init__.py")} <= {"os", "importlib"}


@pytest.mark.parametrize("file", [pytest.param(file, id=str(file.relative_to(ROOT))) for file in FILES])
def test_no_file_is_long(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400
