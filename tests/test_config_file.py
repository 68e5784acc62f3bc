"""Options as a file: it says what the command line would say, the command line wins, and a command's own file makes it again."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.cli.config_file import _from_words, describe_command, make_config_option
from platform.cli.shared_options import DATA, ONLY, SCALE, SETTINGS
from platform.grid import __main__ as grid
from platform.search import __main__ as search

NAMES = ("study", "scale", "only", "seeds", "set_", "data", "runs", "until_decided")


def main(
    context: typer.Context,
    study: Annotated[str, typer.Argument()] = "first",
    scale: Annotated[str, SCALE] = "pocket",
    config: Annotated[str | None, make_config_option("grid")] = None,
    only: Annotated[list[str] | None, ONLY] = None,
    seeds: int | None = None,
    until_decided: Annotated[bool, typer.Option("--until-decided")] = False,
    set_: Annotated[list[str] | None, SETTINGS] = None,
    data: Annotated[list[str] | None, DATA] = None,
    runs: str = "runs",
) -> None:
    values = {name: context.params[name] for name in NAMES}
    print(json.dumps({"values": values, "file": describe_command(context, "grid")}, default=list))


def run(*words: str) -> dict[str, Any]:
    outcome = CliRunner().invoke(make_application(main), words)
    assert outcome.exit_code == 0, outcome.output
    result: dict[str, Any] = json.loads(outcome.output)
    return result


def settings_of(words: list[str]) -> dict[str, Any]:
    return {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_file_says_what_the_command_line_says(tmp_path: Path) -> None:
    text = "command: grid\nonly: {method: [SL(c), 'SC(c<-a)'], split: 0.5}\nseeds: 3\nset: {epochs: 20, lr: 1e-5, sizes: [1, 2]}\n"
    text += "until-decided: true\ndata: {children: faces, adults: [faces, 'table:a.csv']}\n"
    file = write(tmp_path / "c.yaml", text)
    values = run("--config", file)["values"]
    assert values["only"] == ["method=SL(c),SC(c<-a)", "split=0.5"] and values["seeds"] == 3 and values["until_decided"] is True
    assert settings_of(values["set_"]) == {"epochs": 20, "lr": "1e-5", "sizes": [1, 2]}
    assert values["data"][0].startswith("children=faces") and len(values["data"]) == 3
    assert str(tmp_path / "a.csv") in values["data"][2], "a relative path starts at the file's folder"


def test_the_command_line_wins_one_by_one(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "study: second\nonly: {split: 0.5, ratio: 1}\nseeds: 3\nset: {epochs: 20, lr: 0.1}\n")
    values = run("third", "--config", file, "--only", "split=.9", "--seeds", "4", "--set", "epochs=1")["values"]
    assert values["study"] == "third" and values["seeds"] == 4
    assert values["only"] == ["ratio=1", "split=.9"]
    assert values["set_"] == ["lr=0.1", "epochs=1"]
    assert run("--config", file)["values"]["study"] == "second"


word = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
value = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(), word, st.lists(st.integers()))


@given(st.dictionaries(word, value), st.integers(1, 99) | st.none(), st.booleans(), st.dictionaries(word, st.lists(word, min_size=1)))
def test_its_own_file_makes_a_command_again(settings: dict[str, Any], seeds: int | None, decided: bool, axes: dict[str, list[str]]) -> None:
    words = ["study_of_mine", "--runs", "/somewhere/runs", *(["--until-decided"] if decided else [])]
    words += ["--seeds", str(seeds)] if seeds else []
    words += [part for key, setting in settings.items() for part in ("--set", f"{key}={json.dumps(setting)}")]
    words += [part for axis, values in axes.items() for part in ("--only", f"{axis}={','.join(values)}")]
    first = run(*words)
    with tempfile.TemporaryDirectory() as folder:
        again = run("--config", write(Path(folder, "command.yaml"), first["file"]))
    assert again["file"] == first["file"]
    for name in ("study", "scale", "seeds", "until_decided", "runs"):
        assert again["values"][name] == first["values"][name]
    assert (again["values"]["only"] or []) == (first["values"]["only"] or [])
    assert settings_of(again["values"]["set_"] or []) == settings_of(first["values"]["set_"] or [])


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(run("--runs", "here", "--data", "children=table:mine.csv")["file"])
    assert content["runs"] == str(tmp_path / "here") and content["data"]["children"].startswith(f"table:{tmp_path}/mine.csv")
    assert yaml.safe_load(run("--runs", "s3://bucket/runs")["file"])["runs"] == "s3://bucket/runs"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seeds: three", "seeds three: must be a valid integer"),
        ("sceds: 3", "unknown option of grid 'sceds'; did you mean seeds?"),
        ("set: epochs=3", "set: 'epochs=3' is not of the form set: {epochs: 20}"),
        ("only: [split]", "only: ['split'] is not of the form only: {split: [0.5, 0.9]}"),
        ("command: search", "holds the options of search, not of grid: ferray search --config"),
        ("data: {children: fer2014:/x}", "did you mean fer2013?"),
        ("- seeds", "holds no options; expected lines such as seeds: 3"),
        ("seeds: [", "cannot be read as YAML"),
        ("config: other.yaml", "unknown option of grid 'config'"),
        ("seeds: 0", "at least one"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(text: str, line: str, tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", text)
    outcome = CliRunner().invoke(make_application(grid.main), ["--config", file, "--runs", str(tmp_path / "runs")])
    assert outcome.exit_code == 2 and line in outcome.output and outcome.output.count("\n") == 1, outcome.output
    assert file in outcome.output or text == "seeds: 0"
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_is_one_line() -> None:
    outcome = CliRunner().invoke(make_application(search.main), ["--config", "/nowhere/c.yaml"])
    assert outcome.exit_code == 2 and outcome.output == "/nowhere/c.yaml: no such file\n"


def test_a_file_keeps_no_password() -> None:
    assert _from_words("log", ["mlflow=http://ada:secret@10.0.0.1:5000", "wandb=offline"]) == [
        "mlflow=http://10.0.0.1:5000",
        "wandb=offline",
    ]
