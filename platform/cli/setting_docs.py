"""Settings of tasks and methods with defaults and help texts, read from their source files: importing them would import PyTorch."""

import ast
import copy
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class SettingDoc(NamedTuple):
    """A setting as its class declares it."""

    name: str
    kind: str
    """its annotation"""
    default: str
    """as Python writes it; empty if there is none"""
    text: str
    """the docstring under it, in one line"""


def list_method_settings(method: str) -> list[SettingDoc]:
    """Return the settings of a registered method, those of its base classes first."""
    for file in sorted((ROOT / "trainables" / "methods").glob("*.py")):
        for node in _parse(file).body:
            if isinstance(node, ast.ClassDef) and any(_is_registration(decorator, method) for decorator in node.decorator_list):
                settings = _find_settings_class(file, node)
                return _list_fields(*settings) if settings else []
    return []


def list_task_settings(task: str) -> list[SettingDoc]:
    """Return the settings of a registered task, those of its base classes first."""
    for file in sorted((ROOT / "trainables" / "data" / "tasks").glob("*.py")):
        for call in (node for node in ast.walk(_parse(file)) if isinstance(node, ast.Call)):
            if _is_registration(call.func, task) and isinstance(call.args[0], ast.Call):
                found = _find_class(file, ast.unparse(call.args[0].args[0]))
                return _list_fields(*found) if found else []
    return []


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _is_registration(node: ast.expr, name: str) -> bool:
    """Return whether an expression is `REGISTRY.register("name")`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "register"):
        return False
    return bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == name


def _find_class(file: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """Return a class that a file defines or imports from another file of `trainables`."""
    for node in _parse(file).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return file, node
        if source := _find_source(node, name):
            return _find_class(source, name)
    return None


def _find_settings_class(file: Path, method: ast.ClassDef) -> tuple[Path, ast.ClassDef] | None:
    """Return the class that a method, or the nearest of its base classes, names as its `Settings`."""
    for node in method.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "Settings" and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            return _find_class(file, ast.unparse(node.value))
    for base in method.bases:
        if (found := _find_class(file, ast.unparse(base))) and (settings := _find_settings_class(*found)):
            return settings
    return None


def _list_fields(file: Path, settings: ast.ClassDef) -> list[SettingDoc]:
    """Return the fields of a class, those of its base classes first, with the fields of nested settings as `augmentation.scale`."""
    fields: dict[str, SettingDoc] = {}
    for base in settings.bases:
        if found := _find_class(file, ast.unparse(base)):
            fields |= {field.name: field for field in _list_fields(*found)}
    for node, following in zip(settings.body, [*settings.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, value = node.target.id, _find_default(node.value)
            nested = _find_class(file, ast.unparse(value.func)) if isinstance(value, ast.Call) else None
            if nested and isinstance(value, ast.Call):
                given = {word.arg: ast.unparse(word.value) for word in value.keywords}
                for field in _list_fields(*nested):
                    fields[f"{name}.{field.name}"] = field._replace(
                        name=f"{name}.{field.name}", default=given.get(field.name, field.default)
                    )
            else:
                fields[name] = SettingDoc(name, ast.unparse(node.annotation), _write_default(file, value), _read_text(following))
    return list(fields.values())


def _find_default(value: ast.expr | None) -> ast.expr | None:
    """Return the default in `= value`, in `= Field(value, ...)` or in `= Field(default_factory=type)`; None if there is none."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "Field"):
        return value
    words = {word.arg: word.value for word in value.keywords}
    if "default_factory" in words:
        return ast.Call(words["default_factory"], [], [])
    return value.args[0] if value.args else words.get("default")


def _write_default(file: Path, value: ast.expr | None) -> str:
    """Return a default as text, with the values of literal constants in place of their names."""
    if value is None:
        return ""

    class Constants(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            value = _find_constant(file, node.id)
            return value if value and _is_literal(value) else node

    return {"dict()": "{}", "tuple()": "()"}.get(text := ast.unparse(Constants().visit(copy.deepcopy(value))), text)


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _find_constant(file: Path, name: str) -> ast.expr | None:
    """Return the value of a constant that a file defines or imports from another file of `trainables`."""
    for node in _parse(file).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return node.value
        if source := _find_source(node, name):
            return _find_constant(source, name)
    return None


def _find_source(node: ast.stmt, name: str) -> Path | None:
    """Return the file of `trainables` that a statement imports a name from."""
    if not (isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names)):
        return None
    source = ROOT.joinpath(*(node.module or "").split(".")).with_suffix(".py")
    return source if source.exists() else None


def _read_text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""
