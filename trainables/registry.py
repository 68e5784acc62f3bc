"""Registry: one file per thing, registered by a decorator and found by discovery; nothing is listed twice."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class BadRequest(ValueError):
    """What a person asked for cannot be done; the message is one line: what, where, what to do."""


def make_unknown_error(noun: str, name: str, known: Iterable[str]) -> BadRequest:
    """The error for a name nobody knows, with the near one."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    return BadRequest(f"unknown {noun} {name!r}{f'; did you mean {near[0]}?' if near else ''} (known: {', '.join(names)})")


class Registry(Generic[Thing]):
    """Things of one noun, each defined in a module of `package` that nothing else need mention."""

    def __init__(self, noun: str, package: str) -> None:
        self.noun, self.package = noun, package
        self._things: dict[str, Thing] = {}

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """Decorator: register under `name`; a second thing of that name is an error."""

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
        """The thing of this name. Where its file is called like it, no other file is imported: a worker starts seconds earlier."""
        if name.isidentifier() and importlib.util.find_spec(f"{self.package}.{name}"):
            importlib.import_module(f"{self.package}.{name}")
        things = self._things if name in self._things else self.import_all()
        if name not in things:
            raise make_unknown_error(self.noun, name, things)
        return things[name]
