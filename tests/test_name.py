"""`platform` is both the standard library's module and the package of the commands. A Ray worker only ever imports the former."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH", "RAY_ADDRESS")} | {
    "RAY_AUTH_MODE": "disabled",  # otherwise ray.init writes a token into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
}


def python(*arguments: str, cwd: Path = ROOT) -> str:
    """Return what a fresh interpreter prints. The checkout is on its path because it starts there."""
    result = subprocess.run([sys.executable, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


# Prints every name. Prints a function's definition and, if it needs no argument, its result. The order is fixed: calls fill caches.
BEHAVIOUR = """
import inspect, json, platform, types, warnings
warnings.simplefilter("ignore")
said = {}
for name, value in sorted(vars(platform).items()):
    if name.startswith("__") and name not in ("__name__", "__doc__", "__version__", "__copyright__"):
        continue
    said[name] = [type(value).__name__, "" if " at 0x" in repr(value) else repr(value)]
    if isinstance(value, types.FunctionType):
        parameters = inspect.signature(value).parameters.values()
        said[name] += [value.__module__, str(inspect.signature(value)), value.__code__.co_filename, value.__code__.co_firstlineno]
        if all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            try:
                said[name].append(repr(value()))
            except Exception as error:
                said[name].append(repr(error))
print(json.dumps(said))
"""


def test_every_name_of_the_standard_module_is_there_and_behaves_the_same(tmp_path):
    standard = json.loads(python("-I", "-c", BEHAVIOUR, cwd=tmp_path))
    package = json.loads(python("-c", BEHAVIOUR))
    assert {"uname", "platform", "_uname_cache", "_syscmd_ver", "uname_result"} <= standard.keys()
    assert {name: package.get(name) for name in standard} == standard


def test_patches_and_caches_reach_the_functions():
    python(
        "-c",
        """
import platform
assert platform.__path__, "this is not the package"
before = platform.uname()
platform._uname_cache = platform.uname_result("Zed", "node", "1.0", "version", "m68k")
assert (platform.system(), platform.machine()) == ("Zed", "m68k")
platform._uname_cache = None
assert platform.uname() == before
platform.libc_ver = lambda *a, **k: ("zedc", "9")
platform._platform_cache.clear()
assert "zedc9" in platform.platform() or platform.system() != "Linux"
""",
    )


def test_its_objects_pickle_and_it_reloads():
    python(
        "-c",
        """
import copy, importlib, pickle, platform
assert pickle.loads(pickle.dumps(platform.uname())) == platform.uname() == copy.deepcopy(platform.uname())
assert pickle.loads(pickle.dumps(platform.system)) is platform.system
assert importlib.reload(platform) is platform and platform.system() and platform.__path__
""",
    )


@pytest.mark.parametrize("arguments", [[], ["--terse"], ["--nonaliased"], ["terse", "nonaliased"]], ids=" ".join)
def test_the_command_prints_the_platform_string_first(arguments, tmp_path):
    standard = python("-I", "-m", "platform", *arguments, cwd=tmp_path)
    assert python("-m", "platform", *arguments).startswith(standard + "\n")


def test_the_command_lists_the_commands_without_importing_them():
    output = python(
        "-c", "import runpy, sys; runpy.run_module('platform', run_name='__main__'); print({'torch', 'ray', 'rich'} & set(sys.modules))"
    )
    assert output.endswith("set()\n")
    summaries = dict(re.findall(r"(?m)^  ferray (\w+) +(.+)", output))
    assert summaries["doctor"] == importlib.import_module("platform.doctor.__main__").__doc__
    assert "grid" in summaries and not {"launch", "__init__", "__main__"} & summaries.keys()


@pytest.mark.parametrize(
    "module",
    ["pip --version", "pytest --version", "ray.scripts.scripts --version", "torch.distributed.run --help"]
    + ["uuid"] * (sys.version_info >= (3, 12)),  # the version that added its command line
)
def test_modules_started_from_the_checkout_work(module):
    assert python("-m", *module.split())


def test_libraries_imported_from_the_checkout_work():
    assert python("-c", "import uuid, ray, torch, platform; assert platform.__path__; print(uuid.uuid1())")


def test_the_package_and_the_standard_module_are_one():
    import platform.doctor.checks

    assert platform.doctor.checks.ROOT == ROOT
    assert platform.system() == os.uname().sysname


BARE = str(Path(sys.executable).with_name("pytest"))


@pytest.mark.parametrize("command", [[BARE], [sys.executable, "-m", "pytest"]], ids=["pytest", "python -m pytest"])
def test_both_ways_to_start_pytest_see_both(command):
    test = "tests/test_name.py::test_the_package_and_the_standard_module_are_one"
    result = subprocess.run([*command, "-q", "-p", "no:cacheprovider", test], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout


def test_bare_pytest_needs_the_root_conftest():
    test = "tests/test_name.py::test_the_package_and_the_standard_module_are_one"
    command = [BARE, "-q", "-p", "no:cacheprovider", "--noconftest", test]
    result = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert "'platform' is not a package" in result.stdout


# A driver started from the checkout, as `python -m platform.grid` is. `seen` imports every module that a worker may import. The
# other two tasks use the package in a worker, as none of our code may. One fails, because the worker has the standard module.
# The other works, because the checkout is on PYTHONPATH, and `loaded` shows the package's modules.
DRIVER = """
import json, logging, os, ray
import platform.doctor.checks

def loaded():
    import platform, sys
    return platform.__file__, sorted(name for name in sys.modules if name.startswith("platform."))

def seen():
    import importlib, pkgutil, trainables
    for module in pkgutil.walk_packages(trainables.__path__, "trainables."):
        if not module.name.startswith("trainables.data.render"):  # needs the extra [render], and runs on no worker
            importlib.import_module(module.name)
    return loaded()

def shipped():
    platform.doctor.checks.parse_pins("")
    return loaded()

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
task = ray.remote(platform.doctor.checks.parse_pins)
file, modules = ray.get(ray.remote(seen).remote())
try:
    refused = str(ray.get(task.remote("")))
except Exception as error:
    refused = str(error)
control = ray.get(ray.remote(shipped).options(runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}}).remote())
print(json.dumps({"file": file, "modules": modules, "refused": refused, "control": control[1]}))
"""


def test_a_ray_worker_never_imports_the_package():
    report = json.loads(python("-c", DRIVER).splitlines()[-1])
    assert Path(report["file"]).parent == Path(os.__file__).parent
    assert report["modules"] == []
    assert "'platform' is not a package" in report["refused"]
    assert "platform.doctor" in report["control"]
