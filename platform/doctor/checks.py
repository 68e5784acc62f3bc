"""The doctor's checks: machine, Ray, data, devices, packages."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import fsspec
from packaging.requirements import Requirement

from platform.doctor.finding import GIB, DoctorFinding

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "grad-cam": ("pytorch_grad_cam",),
    "ray": ("ray", "ray.train.torch", "ray.tune"),  # submodules load lazily: `import ray` alone tests nothing that a grid needs
    "optuna": ("optuna",),
    "hyperopt": ("hyperopt",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "scipy": ("scipy.stats",),
    "tensorboard": ("tensorboard.compat.proto.summary_pb2", "tensorboard.summary.writer.event_file_writer"),
    "opencv-python-headless": ("cv2",),
    "pyarrow": ("pyarrow.parquet",),
    "pillow": ("PIL.Image",),
    "matplotlib": ("matplotlib.figure",),
    "jinja2": ("jinja2",),
    "rich": ("rich.live",),
    "typer": ("typer",),
    "pyyaml": ("yaml",),
    "fsspec": ("fsspec",),
}
"""The distributions that the commands need, each with its modules that must import."""
FIRST = 3
"""modules that one process imports, while another one imports the rest"""

PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, "the import ended the process"]), flush=True)  # the next line takes it back
    try:
        importlib.import_module(name)
        said = ""
    except BaseException as error:
        said = f"{type(error).__name__}: {error}".replace("\\n", " ")
    print(json.dumps([name, said]), flush=True)
if "torch" in sys.argv and "torch" in sys.modules:
    import torch
    try:
        torch.cuda.init()
        said = ""
    except BaseException as error:
        said = str(error).strip().partition("\\n")[0].partition(". ")[0]
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if not said else []
    print(json.dumps(["cuda", said, [[gpu.name, gpu.total_memory, torch.cuda.is_bf16_supported()] for gpu in gpus]]))
"""

START_RAY = """
import logging, ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
print(ray.get(ray.remote(lambda: "a task ran").remote()))
"""


def parse_pins(text: str) -> dict[str, str]:
    """Return package -> version for the lines of a requirements file that apply to this interpreter."""
    pins = (Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins if not pin.marker or pin.marker.evaluate()}


def check_packages(said: dict[str, str], wanted: dict[str, str]) -> Iterator[DoctorFinding]:
    """Compare versions with the pins, and report the error of each module that does not import. `said`: module -> error, "" if none."""
    python = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info < (3, 14)
    yield DoctorFinding(
        f"python {python}  {sys.executable}", "" if supported else "use Python 3.11 to 3.13: make PYTHON=python3.11", not supported
    )
    if uncompiled := find_uncompiled(("ray", "torch", "pandas")):
        mend = f"{sys.executable} -m compileall -qq -j 0 {sysconfig.get_path('purelib')}"
        yield DoctorFinding(
            f"{', '.join(uncompiled)}: no bytecode, so every process of a grid compiles it: starting takes twice as long", mend
        )
    for package, modules in MODULES.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield DoctorFinding(f"{package} is not installed", "make venv", bad=True)
            continue
        if broken := [module for module in modules if said[module]]:
            for module in broken:
                mend = f"the error is {package}'s own; a clean installation: rm -r .venv && make venv"
                yield DoctorFinding(f"{package} {version}: import {module}: {said[module]}", mend, bad=True)
        elif version.partition("+")[0] != wanted[package]:
            yield DoctorFinding(f"{package} {version}, tested with {wanted[package]}", "make venv installs the tested version")
        else:
            yield DoctorFinding(f"{package} {version}")


def check_extras(extras: dict[str, list[str]]) -> Iterator[DoctorFinding]:
    """Report which packages of the optional extras are installed. `extras`: as pyproject.toml has them, without the developers' own."""
    for extra, requirements in extras.items():
        names = [Requirement(text).name for text in requirements]
        missing = [name for name in names if not _is_installed(name)]
        if missing:
            yield DoctorFinding(
                f"extra [{extra}]: {', '.join(missing)} not installed; needed only for what the extra is for", checked=False
            )
        else:
            yield DoctorFinding(f"extra [{extra}]: {', '.join(names)}")


def read_extras() -> dict[str, list[str]]:
    """Return the optional extras of pyproject.toml, without the developers' own."""
    extras: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {extra: requirements for extra, requirements in extras.items() if extra != "dev"}


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def find_uncompiled(modules: Iterable[str]) -> list[str]:
    """Return the top-level modules without stored bytecode. None of them is imported."""
    specs = {name: importlib.util.find_spec(name) for name in modules}
    sources = {name: spec.origin for name, spec in specs.items() if spec and spec.origin and spec.origin.endswith(".py")}
    return [name for name, source in sources.items() if not Path(importlib.util.cache_from_source(source)).exists()]


def read_kernel_file(file: str) -> str:
    """Return the content of a file of /proc, or "" on a system without it."""
    return Path(file).read_text() if Path(file).exists() else ""


def check_devices(cuda_error: str, gpus: list[tuple[str, int, bool]]) -> Iterator[DoctorFinding]:
    """Report the GPUs that torch sees, then the processor and whether it has bf16 in hardware."""
    for name, memory, bf16 in gpus:
        yield DoctorFinding(f"GPU {name}, {memory / GIB:.0f} GiB, {'bf16' if bf16 else 'no bf16'}")
    if not gpus:
        driver = Path("/proc/driver/nvidia/version").exists()
        yield DoctorFinding(
            f"no GPU: {cuda_error}", "a driver is there: does nvidia-smi show a CUDA version that torch can use?" if driver else ""
        )
    info = read_kernel_file("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info)
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", info)]
    fast = "bf16 in hardware" if {"avx512_bf16", "amx_bf16"} & set(flags) else "no bf16 in hardware"
    yield DoctorFinding(f"CPU {model[1] if model else 'of unknown model'}, {' '.join(flags) or 'flags unknown'}, {fast}")


def check_machine(runs: str) -> Iterator[DoctorFinding]:
    """Check cores, memory, free disk space, and whether the run folder can be written."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS")
    yield DoctorFinding(f"{cores} cores, OMP_NUM_THREADS {threads or 'not set'}: a grid sets its workers' threads itself")
    if meminfo := dict(re.findall(r"(\w+):\s+(\d+) kB", read_kernel_file("/proc/meminfo"))):
        total, free = (int(meminfo[name]) * 1024 / GIB for name in ("MemTotal", "MemAvailable"))
        advice = "a pocket grid with two slots takes up to 6 GiB: --slots 1, or end other programs" if free < 6 else ""
        yield DoctorFinding(f"memory {total:.1f} GiB, {free:.1f} free", advice)
    if Path("/dev/shm").exists():
        free = shutil.disk_usage("/dev/shm").free / GIB
        yield DoctorFinding(
            f"shared memory {free:.1f} GiB free", "Ray will use slower files in /tmp; in a container: --shm-size=2g" if free < 1 else ""
        )
    temporary = shutil.disk_usage(tempfile.gettempdir())
    full = temporary.used / (temporary.used + temporary.free) > 0.95
    mend = "Ray stops storing objects on a disk that is 95 % full: remove old /tmp/ray sessions, or set RAY_TMPDIR to another disk"
    yield DoctorFinding(f"{tempfile.gettempdir()} {temporary.free / GIB:.1f} GiB free", mend if full else "", full)
    yield check_run_folder(runs)


def check_run_folder(runs: str) -> DoctorFinding:
    """Check whether a result can be written under `runs`: a folder, which need not exist yet, or any fsspec address."""
    try:
        if "://" in runs:
            system, path = fsspec.core.url_to_fs(runs)
            probe = f"{path.rstrip('/')}/.doctor-{os.getpid()}"
            system.pipe_file(probe, b"")
            system.rm_file(probe)
            return DoctorFinding(f"runs go to {runs}: writable")
        folder = Path(runs).resolve()
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        tempfile.TemporaryFile(dir=existing).close()
        free = shutil.disk_usage(existing).free / GIB
        return DoctorFinding(
            f"runs go to {folder}: writable, {free:.1f} GiB free", "make room, or --runs elsewhere" if free < 1 else "", free < 1
        )
    except Exception as error:  # an object store's driver may raise any exception
        return DoctorFinding(
            f"runs go to {runs}: {type(error).__name__}: {error}", "name a folder that can be written with --runs", bad=True
        )


def check_ray_environment(environment: dict[str, str], home: Path) -> Iterator[DoctorFinding]:
    """Report what Ray reads from its environment without being asked: an address, a token."""
    address, mode = environment.get("RAY_ADDRESS"), environment.get("RAY_AUTH_MODE")
    token = Path(environment.get("RAY_AUTH_TOKEN_PATH", home / ".ray" / "auth_token"))
    has_token = token.exists() or "RAY_AUTH_TOKEN" in environment
    if address:
        yield DoctorFinding(f"RAY_ADDRESS={address}: a grid would join that cluster", "to run on this machine alone: unset RAY_ADDRESS")
        if mode != "token":
            yield DoctorFinding(
                "no token will be sent to that cluster (RAY_AUTH_MODE is not token)",
                "one started by cluster.yaml wants it: export RAY_AUTH_MODE=token",
            )
    if mode == "disabled":
        yield DoctorFinding("RAY_AUTH_MODE=disabled: anybody who can connect to this machine's ports can run code in the cluster")
    elif has_token:
        hint = "" if mode else "; `ray start --head` by hand will want it from its workers too"
        yield DoctorFinding(f"token {'in RAY_AUTH_TOKEN' if 'RAY_AUTH_TOKEN' in environment else token}{hint}")
        if token.exists() and not os.access(token, os.R_OK):
            yield DoctorFinding(f"{token} cannot be read", "correct its owner and mode, or export RAY_AUTH_MODE=disabled", bad=True)
    elif mode == "token" and address:
        yield DoctorFinding(f"RAY_AUTH_MODE=token, but there is no {token}", "copy it from the cluster's head", bad=True)
    else:
        folder = next(parent for parent in token.parents if parent.exists())
        writable = os.access(folder, os.W_OK)
        mend = "" if writable else "Ray writes its token there at first start: export RAY_AUTH_MODE=disabled, or set HOME"
        yield DoctorFinding(f"no token yet; {folder} {'can' if writable else 'cannot'} be written", mend, not writable)


def check_local_ray() -> DoctorFinding:
    """Start a Ray with one CPU, run one task, stop it."""
    environment = os.environ | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as for a grid: Ray listens only on 127.0.0.1
    result = subprocess.run([sys.executable, "-c", START_RAY], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    if result.returncode == 0:
        return DoctorFinding("a local Ray started, ran a task and stopped")
    last = (result.stderr.strip().splitlines() or [f"exit {result.returncode}"])[-1]
    return DoctorFinding(f"a local Ray did not start: {last}", "its logs: /tmp/ray/session_latest/logs", bad=True)


def check_data_sets(asked: list[str]) -> Iterator[DoctorFinding]:
    """Read the embedded faces and the requested data sets to the last image. Name the kinds that were not looked for.

    `asked` has the form of a grid's --data.
    """
    from trainables.data.dataset import readers
    from trainables.data.source import parse_roles
    from trainables.registry import BadRequest

    found: set[str] = set()
    for text in ["children=faces", *asked]:
        try:
            for role, source in [(role, source) for role, given in parse_roles(text).items() for source in given]:
                faces = source.read_faces(48, "grey")
                found.add(source.kind)
                notes = "".join(f"; {note}" for note in faces.notes)
                yield DoctorFinding(
                    f"{role}: {faces.title}: {len(faces)} images, {len(faces.classes)} classes, fingerprint {faces.fingerprint}{notes}"
                )
        except BadRequest as error:  # its message says what to do
            yield DoctorFinding(f"{text}: {error}", bad=True)
    others = ", ".join(kind for kind in readers() if kind not in found)
    yield DoctorFinding(f"not looked for: {others}; --data ROLE=KIND:PATH checks yours, ferray data list says what each is", checked=False)


def run_checks(data: list[str], runs: str, start_ray: bool) -> Iterator[tuple[str, list[DoctorFinding]]]:
    """Yield the findings section by section.

    Torch and Ray take seconds to import. Two processes import them meanwhile, so that a crash is only a finding.
    """
    names = [name for modules in MODULES.values() for name in modules]
    groups = names[:FIRST], names[FIRST:]
    probes = [
        subprocess.Popen([sys.executable, "-c", PROBE, *group], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for group in groups
    ]
    yield "Machine", list(check_machine(runs))
    yield "Ray", list(check_ray_environment(dict(os.environ), Path.home()))
    try:
        yield "Data", list(check_data_sets(data))
    except ImportError as error:
        yield "Data", [DoctorFinding(f"the readers do not import: {error}", "see Packages below", bad=True)]
    lines = "".join(probe.communicate()[0] for probe in probes).splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("[")]
    cuda = next((answer[1:] for answer in answers if answer[0] == "cuda"), ["torch does not import", []])
    import_errors = dict.fromkeys(names, "not tried: an import before it ended the process") | {answer[0]: answer[1] for answer in answers}
    yield "Devices", list(check_devices(*cuda))
    packages = check_packages(import_errors, parse_pins((ROOT / "requirements.txt").read_text()))
    yield "Packages", [*packages, *check_extras(read_extras())]
    if start_ray:
        yield "Start", [check_local_ray()]


def check_cluster(file: str, runs: str, data: list[str]) -> Iterator[tuple[str, list[DoctorFinding]]]:
    """Check every machine of a cluster.yaml in the same way. A fault of the file itself is a finding of one line."""
    from platform.doctor.cluster_machines import check_machines
    from trainables.data.source import parse_roles
    from trainables.registry import BadRequest

    try:
        sources = [source for text in data for given in parse_roles(text).values() for source in given]
        yield from check_machines(file, runs, [path for source in sources for path in source.list_files()])
    except BadRequest as error:
        yield "Request", [DoctorFinding(str(error), bad=True)]
