# The standard library's `platform`, made a package, so that the commands are `python -m platform.grid` and its neighbours.
#
# Its code is executed here, in this namespace, not imported and copied: functions see this module's globals, so private names,
# caches, patches and pickles behave as in the original. It is found beside `os`, which also holds for a standard library
# in a zip file or frozen into an executable. Half of the ecosystem imports `platform` at start: import nothing else here.
import os
from importlib.machinery import PathFinder

_standard_spec = PathFinder.find_spec("platform", [os.path.dirname(os.__file__)])
_standard_code = _standard_spec.loader.get_code("platform")  # type: ignore[union-attr]
del PathFinder
exec(_standard_code)
