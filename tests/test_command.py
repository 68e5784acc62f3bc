"""A usage error prints one line on standard error and exits with 2."""

from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.compare import __main__ as compare
from platform.data import __main__ as data
from platform.doctor import __main__ as doctor
from platform.explain import __main__ as explain
from platform.export import __main__ as export
from platform.grid import __main__ as grid
from platform.predict import __main__ as predict
from platform.report import __main__ as report
from platform.search import __main__ as search
from platform.status import __main__ as status

MAINS: list[Callable[..., None]] = [grid.main, search.main, status.main, report.main, explain.main, doctor.main]
MAINS += [compare.main, export.main, predict.main]


def run(app: typer.Typer, *words: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, words)
    return outcome.exit_code, outcome.stderr


@pytest.mark.parametrize("main", MAINS, ids=lambda main: main.__module__)
def test_an_unknown_option_is_one_line(main: Callable[..., None]) -> None:
    code, line = run(make_application(main), "--bogus")
    assert code == 2 and line.startswith("No such option: --bogus") and line.endswith("; see --help\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "three"], "--seeds three: must be a valid integer; see --help"),
        (["--slots", "0"], "--slots 0: must be greater than or equal to 1; see --help"),
        (["--gpu", "-1"], "--gpu -1: must be greater than or equal to 0; see --help"),
        (["--seeds"], "Option '--seeds' requires an argument"),
        (["ciao", "ciao"], "Got unexpected extra argument"),
        (["--sceds", "3"], "No such option: --sceds (Possible options: "),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], said: str) -> None:
    code, line = run(make_application(grid.main), *words)
    assert code == 2 and line.startswith(said) and line.count("\n") == 1, line


@pytest.mark.parametrize(("words", "said"), [(["chek"], "Did you mean 'check'?"), (["check"], "Missing argument"), (["list", "-x"], "-x")])
def test_a_wrong_subcommand_is_one_line(words: list[str], said: str) -> None:
    code, line = run(data.app, *words)
    assert code == 2 and said in line and line.count("\n") == 1, line


@pytest.mark.parametrize("words", [["--trials", "0"], ["--seeds", "0"], ["--fresh", "-1"]])
def test_a_search_of_nothing_is_one_line(words: list[str]) -> None:
    code, line = run(make_application(search.main), *words)
    assert code == 2 and line.startswith(f"{words[0]} {words[1]}: must be greater than or equal to ") and line.count("\n") == 1, line


def test_help_is_no_error_and_no_subcommand_is_help() -> None:
    assert run(make_application(report.main), "--help") == (0, "")
    assert CliRunner().invoke(data.app, []).output.count("check") >= 1
