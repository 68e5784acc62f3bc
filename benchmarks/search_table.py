"""Make the table that benchmarks/search.py searches: validation scores of trained heads by epoch and seed.

.venv/bin/python -m benchmarks.search_table trains heads that are drawn at random from the search space of the study ciao, then heads near
the best of them (pocket scale, FER2013, encoder VGG, the arm that the study searches), one after another in this process, with one
thread and without Ray. Every training is one line of search_table.jsonl, written when it ends, so the same command goes on after a kill.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer

from benchmarks.common import machine
from platform.cli.study_options import narrow_study, read_roles
from platform.search.condition_search import ConditionSearch
from platform.search.searchers import suggest_at_random
from search_spaces.search_space import Choice, Fixed, OneOf, Range, Real, Space, Whole
from search_spaces.space_tree import Parameters, describe_space, draw_parameters
from trainables.loop import Diverged, train_cell
from trainables.random_streams import make_generator
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

TABLE = Path(__file__).with_name("search_table.jsonl")
CONDITION = {"encoder": "VGG", "data": "FER2013"}
SEEDS = 2
"""as in the study's search"""
BEST = 10
"""random heads near which further ones are drawn"""
CHANGED = 0.3
"""probability with which a parameter of such a head is drawn anew"""

Job = tuple[int, Parameters, int]
"""a training: number of the head, its parameters, seed"""


class Head(NamedTuple):
    """A head of the table."""

    parameters: Parameters
    curves: list[list[float]]
    """validation scores by seed and epoch; shorter if the training diverged"""


def main(
    heads: Annotated[int, typer.Option(min=1, help="drawn at random")] = 300,
    near: Annotated[int, typer.Option(min=0, help="further heads, drawn near the best of these")] = 60,
    file: Annotated[Path, typer.Option(help="where the table is, or will be")] = TABLE,
) -> None:
    """Train the heads that the table lacks."""
    torch.set_num_threads(1)
    study = narrow_study("ciao", "pocket", [f"{axis}={value}" for axis, value in CONDITION.items()], None, ["precision=fp32"], [])
    data, (searched,) = read_roles(study, []), study.searches
    search = ConditionSearch(study, replace(searched, seeds=SEEDS), dict(CONDITION), data)
    space = searched.space
    description = {
        "study": study.name,
        "scale": study.scale,
        "arm": searched.arm,
        "condition": CONDITION,
        "data": data[search.make_cells(next(_draw_heads(space, 1)))[0].task_settings["role"]].title,
        "score": f"val/{study.metric}",
        "epochs": study.settings["epochs"],
        "published": search.published,
        "space": describe_space(space),
        "machine": machine(),
    }
    with tempfile.TemporaryDirectory() as folder_name:
        folder = RunFolder(folder_name)
        for cell in search.steps:
            train_cell(cell, folder)

        def train(parameters: Parameters, seed: int) -> dict[str, Any]:
            return train_head(search, folder, parameters, seed)

        drawn = list(_draw_heads(space, heads))
        extend_table(file, description, _list_jobs(0, drawn), train)
        best = sorted(read_table(file)[1][:heads], key=lambda head: -compute_score(head.curves))[:BEST]
        near_best = [draw_near(space, [head.parameters for head in best], number) for number in range(near)]
        extend_table(file, description, _list_jobs(heads, near_best), train)


def _draw_heads(space: Space, number: int) -> Iterator[Parameters]:
    return (suggest_at_random(space, [], seed) for seed in range(number))


def _list_jobs(first: int, heads: list[Parameters]) -> list[Job]:
    return [(number, parameters, seed) for number, parameters in enumerate(heads, first) for seed in range(SEEDS)]


def draw_near(space: Space, best: list[Parameters], number: int) -> Parameters:
    """Return one of the best heads with some of its parameters drawn anew."""
    rng = make_generator(number, "near the best")
    start = best[rng.integers(len(best))]

    def draw(name: str, limits: Range) -> Any:
        new = suggest_at_random({name: limits}, [], int(rng.integers(2**31)))[name]
        return new if name not in start or rng.random() < CHANGED else start[name]

    return draw_parameters(space, draw)


def train_head(search: ConditionSearch, folder: RunFolder, parameters: Parameters, seed: int) -> dict[str, Any]:
    """Return the validation score of each epoch, and why it failed if it did. The parent's parameters are in the folder."""
    scores: list[float] = []

    def report(row: dict[str, Any]) -> bool:
        scores.append(round(row[f"val/{search.study.metric}"], 5))
        return True

    (cell,) = (cell for cell in search.make_cells(parameters) if cell.seed == seed)
    began = time.process_time()
    try:
        train_cell(cell, folder, report, checkpoint_s=np.inf, keep="none")
    except Diverged as error:
        return {"scores": scores, "failed": str(error), "s": round(time.process_time() - began, 2)}
    return {"scores": scores, "s": round(time.process_time() - began, 2)}


def extend_table(file: Path, description: dict[str, Any], jobs: Iterable[Job], train: Callable[[Parameters, int], dict[str, Any]]) -> None:
    """Train the jobs that the file has no line of, and append one line for each. Cut off a last line that a killed process left.

    BadRequest if the file is of another space or of other settings.
    """
    content = file.read_bytes() if file.exists() else b""
    lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
    described = json.loads(json.dumps(description))
    if lines and any(lines[0].get(name) != value for name, value in described.items() if name != "machine"):
        raise BadRequest(f"{file}: is a table of another space or of other settings; move it away to begin anew")
    done = {(line["head"], line["seed"]): line["parameters"] for line in lines[1:]}
    with file.open("ab") as table:
        table.truncate(content.rfind(b"\n") + 1)
        for line in [] if lines else [described]:
            _append_line(table, line)
        for number, parameters, seed in jobs:
            if (number, seed) not in done:
                _append_line(table, {"head": number, "parameters": parameters, "seed": seed, **train(parameters, seed)})
            elif done[number, seed] != json.loads(json.dumps(parameters)):
                raise BadRequest(f"{file}: head {number} has other parameters than the one to train; move the file away to begin anew")


def _append_line(table: Any, line: dict[str, Any]) -> None:
    table.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    table.flush()
    os.fsync(table.fileno())


def read_table(file: Path) -> tuple[dict[str, Any], list[Head]]:
    """Return the description of the table, and its heads in order. Heads that lack a seed are left out."""
    description, *lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    heads: dict[int, Head] = {}
    for line in lines:
        heads.setdefault(line["head"], Head(line["parameters"], [])).curves.append(line["scores"])
    return description, [heads[number] for number in sorted(heads) if len(heads[number].curves) == SEEDS]


def compute_score(curves: Any) -> float:
    """Return a suggestion's score: the mean over seeds of the score at the selected epoch, which is the best; 0 if none was reached."""
    return float(np.mean([max(curve, default=0.0) for curve in curves]))


def read_space(description: dict[str, Any]) -> Space:
    """Return the space of which this is the description, as `describe_space` writes it."""
    return {name: _read_node(node) for name, node in description.items()}


def _read_node(node: dict[str, Any]) -> Range | Fixed | Choice:
    fields = {name: value for name, value in node.items() if name != "kind"}
    if node["kind"] == "Choice":
        return Choice({option: read_space(sub) for option, sub in node["options"]}, node["setting"])
    if node["kind"] == "OneOf":
        return OneOf(tuple(node["values"]))
    return {"Real": Real, "Whole": Whole, "Fixed": Fixed}[node["kind"]](**fields)


if __name__ == "__main__":
    typer.run(main)
