"""The doctor in healthy and in broken environments."""

import json
import os
import py_compile
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement

from platform.doctor import checks as doctor
from platform.doctor.__main__ import choose_mark, main


def probe(folder: Path, *names: str) -> dict[str, str]:
    """Return, by module, what the doctor's second process reports of its import, with `folder` on the path."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    result = subprocess.run([sys.executable, "-c", doctor.PROBE, *names], cwd=folder, env=environment, capture_output=True, text=True)
    return dict(json.loads(line) for line in result.stdout.splitlines())


def test_the_probe_shows_the_real_error_and_survives_a_crash(tmp_path):
    (tmp_path / "broken.py").write_text("raise ImportError('libfancy.so.3: cannot open shared object file')")
    (tmp_path / "deadly.py").write_text(f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})")
    errors = probe(tmp_path, "json", "absent_module", "broken", "deadly", "wave")
    assert errors["json"] == ""
    assert errors["absent_module"] == "ModuleNotFoundError: No module named 'absent_module'"
    assert errors["broken"] == "ImportError: libfancy.so.3: cannot open shared object file"
    assert "ended the process" in errors["deadly"]
    assert "wave" not in errors


def test_packages_name_the_error_the_version_and_what_to_do():
    errors = {module: "" for modules in doctor.MODULES.values() for module in modules} | {"ray.tune": "ImportError: no pyarrow"}
    pins = doctor.parse_pins((doctor.ROOT / "requirements.txt").read_text())
    findings = list(doctor.check_packages(errors, pins | {"scipy": "0.1"}))
    (ray,) = (finding for finding in findings if finding.bad)
    assert ray.text.endswith("import ray.tune: ImportError: no pyarrow") and ray.mend
    (scipy,) = (finding for finding in findings if finding.text.startswith("scipy"))
    assert "tested with 0.1" in scipy.text and scipy.mend and not scipy.bad


def test_a_module_without_bytecode_is_seen_and_not_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    (tmp_path / "module_to_compile.py").write_text("raise AssertionError('imported')")
    assert doctor.find_uncompiled(["module_to_compile", "absent_module"]) == ["module_to_compile"]
    py_compile.compile(str(tmp_path / "module_to_compile.py"))
    assert doctor.find_uncompiled(["module_to_compile", "absent_module"]) == []


def test_pins_are_those_of_this_interpreter():
    text = "# comment\nray==2.60.0\nnumpy==1 ; python_full_version < '3.0'\nnumpy==2.4.6 ; python_full_version >= '3.0'\n"
    assert doctor.parse_pins(text) == {"ray": "2.60.0", "numpy": "2.4.6"}


def test_every_dependency_is_checked_and_pinned():
    project = tomllib.loads((doctor.ROOT / "pyproject.toml").read_text())["project"]
    dependencies = {Requirement(text).name for text in project["dependencies"]}
    assert dependencies <= doctor.MODULES.keys() <= doctor.parse_pins((doctor.ROOT / "requirements.txt").read_text()).keys()
    assert doctor.read_extras().keys() == project["optional-dependencies"].keys() - {"dev"}


def test_extras_say_what_is_missing():
    (installed, missing) = doctor.check_extras({"some": ["typer>=0.1"], "others": ["typer", "no_such_package==1"]})
    assert installed.checked and installed.text == "extra [some]: typer"
    assert not missing.checked and not missing.bad and not missing.mend and "no_such_package not installed" in missing.text


def test_data_sets_that_were_not_looked_for_are_not_ticked(tmp_path):
    from trainables.data.dataset import readers

    findings = list(doctor.check_data_sets([f"web=fer2013:{tmp_path}/no.csv"]))
    (faces,) = (finding for finding in findings if finding.checked and not finding.bad)
    assert faces.text.startswith("children: rendered faces") or "images, 7 classes" in faces.text
    (others,) = (finding for finding in findings if not finding.checked)
    named = others.text.removeprefix("not looked for: ").partition(";")[0].split(", ")
    assert set(named) == readers().keys() - {"faces"} and choose_mark(others) == "[dim]·[/]" and choose_mark(faces) == "[green]✓[/]"


def test_the_run_folder(tmp_path):
    assert not doctor.check_run_folder(str(tmp_path / "new" / "runs")).bad
    assert not list(tmp_path.iterdir())  # the check creates no folder
    assert not doctor.check_run_folder("memory://bucket/runs").bad
    (tmp_path / "file").touch()
    assert doctor.check_run_folder(str(tmp_path / "file" / "runs")).bad
    assert doctor.check_run_folder("nosuchprotocol://bucket").bad


@pytest.mark.parametrize(
    ("environment", "token", "said", "bad"),
    [
        ({}, False, "no token yet", False),
        ({}, True, "will want it from its workers", False),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, True, "no token will be sent", False),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_MODE": "token"}, False, "there is no", True),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_MODE": "token"}, True, "would join that cluster", False),
        ({"RAY_AUTH_MODE": "token"}, False, "no token yet", False),
        ({"RAY_AUTH_MODE": "disabled"}, False, "anybody who can connect", False),
    ],
)
def test_ray_surroundings(environment, token, said, bad, tmp_path):
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("secret")
    findings = list(doctor.check_ray_environment(environment, tmp_path))
    assert said in "\n".join(finding.text for finding in findings)
    assert "secret" not in str(findings)
    assert any(finding.bad for finding in findings) is bad
    assert all(finding.mend for finding in findings if finding.bad)


def test_a_gpu_and_none():
    (gpu, _) = doctor.check_devices("", [("Fancy 9000", 80 * doctor.GIB, True)])
    assert gpu.text == "GPU Fancy 9000, 80 GiB, bf16"
    (none, cpu) = doctor.check_devices("Found no NVIDIA driver on your system", [])
    assert "Found no NVIDIA driver" in none.text and not none.bad
    assert cpu.text.startswith("CPU ")


def test_a_machine_that_passes_the_tests_is_well():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "platform.doctor"]
    result = subprocess.run(command, cwd=doctor.ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "A grid would run here." in result.stdout
    assert f"torch {doctor.parse_pins((doctor.ROOT / 'requirements.txt').read_text())['torch']}" in result.stdout


def test_what_is_not_well_is_named_and_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "MODULES", {})  # the packages are not checked again
    (tmp_path / "file").touch()
    with pytest.raises(typer.Exit) as stop:
        main(data=[f"children=fer2013:{tmp_path}/no.csv"], runs=str(tmp_path / "file" / "runs"))
    assert stop.value.exit_code == 1
    output = capsys.readouterr().out
    assert f"{tmp_path}/no.csv" in output
    assert "A grid would not run here: 2 of the checks above failed" in output
