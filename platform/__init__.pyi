# For type checkers, which cannot see what `__init__.py` executes: the standard library's names, untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
