"""Registry: one file per entry, registered by a decorator and found by discovery. No entry is listed a second time."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class BadRequest(ValueError):
    """A user's request cannot be met. The message is one line: what is wrong, where, and what to do."""


def make_unknown_error(noun: str, name: str, known: Iterable[str]) -> BadRequest:
    """Return the error for an unknown name, with the closest known name."""
    names = sorted(known)
    near = [other for other in names if len(name) > 1 and other.lower().startswith(name.lower())][:3]
    near = near or get_close_matches(name, names, n=1, cutoff=0.4)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    return BadRequest(f"unknown {noun} {name!r}{guess} (known: {', '.join(names)})")


def join_lines(error: BaseException, most: int = 300) -> str:
    """Return an error's message on one line, cut after `most` characters; its type if it has no message."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def describe_os_error(error: OSError) -> str:
    """Return what went wrong with a file, in a few words."""
    return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()


class Registry(Generic[Thing]):
    """Entries of one noun. Each is defined in a module of `package` that nothing else needs to mention."""

    def __init__(self, noun: str, package: str) -> None:
        self.noun, self.package = noun, package
        self._things: dict[str, Thing] = {}

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """Return a decorator that registers an entry under `name`. A second entry of that name is an error."""

        def register(thing: Thing) -> Thing:
            if name in self._things:
                raise ValueError(f"two {self.noun}s are called {name}")
            self._things[name] = thing
            return thing

        return register

    def import_all(self) -> dict[str, Thing]:
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return dict(sorted(self._things.items()))

    def find_name(self, thing: Thing) -> str:
        """The name that a thing is registered under."""
        return next(name for name, known in self._things.items() if known is thing)

    def find(self, name: str) -> Thing:
        """Return the entry of this name. If a file has this name, no other file is imported, so a worker starts seconds earlier."""
        if name.isidentifier() and importlib.util.find_spec(f"{self.package}.{name}"):
            importlib.import_module(f"{self.package}.{name}")
        things = self._things if name in self._things else self.import_all()
        if name not in things:
            raise make_unknown_error(self.noun, name, things)
        return things[name]
