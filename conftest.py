"""Bare `pytest` has imported the standard library's `platform` before this folder is on the path: make that module our package too."""

from pathlib import Path

import platform

platform.__path__ = [str(Path(__file__).with_name("platform"))]  # type: ignore[attr-defined]  # what makes a module a package
