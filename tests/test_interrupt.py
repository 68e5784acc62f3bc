"""Ctrl-C at any moment, imports included: one line, exit code 130."""

from pathlib import Path

import pytest

from tests.running import start

COMMANDS = {
    "grid": ["--dry-run"],
    "search": ["--trials", "1", "--runs", "http://nowhere"],
    "report": ["nowhere"],
    "explain": ["nowhere"],
    "data": ["check", "faces:children"],
    "doctor": [],
}
MOMENTS = [1, 2, 10, 60, 300, 1000, 2500]
"""imports after which the signal comes"""
INTERRUPTED = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
command, left, name = os.getpid(), int(sys.argv[1]), sys.argv[2]
sys.argv = sys.argv[2:]
def interrupt(event, arguments):
    global left
    if event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        left -= 1
        if left == 0:
            print("interrupted", flush=True)
            os.kill(command, signal.SIGINT)
sys.addaudithook(interrupt)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_interrupted_while_it_imports(name: str, tmp_path: Path) -> None:
    """A command has two processes or one. The signal goes to the one that the user started, as from a terminal."""
    seen = 0
    for moment in MOMENTS:
        command = start(["-c", INTERRUPTED, str(moment), f"platform.{name}", *COMMANDS[name]], {"FERRAY_CACHE": str(tmp_path / "cache")})
        code, said = command.end()
        if "interrupted" not in said:  # it has fewer imports
            continue
        seen += 1
        lines = said.partition("interrupted")[2].split("\n")
        (line,) = (line for line in lines if line.strip())
        assert code == 130 and line.startswith("stopped"), said
    assert seen >= 3


def test_the_first_lines_of_a_command_set_it_up() -> None:
    """Before them only Python itself has started, which no program can change."""
    for file in Path(__file__).parents[1].glob("platform/*/__main__.py"):
        text = file.read_text()
        first = text.partition('"""\n\n')[2]
        assert (
            first.startswith('if __name__ == "__main__":')
            and "end_on_interrupt()" in first.partition("\n\n\n")[0].partition("import typer")[0]
        )
