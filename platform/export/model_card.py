"""The model card of an exported training, in Markdown: data, scores with intervals over the run's seeds, warnings, licences."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from platform.export.choose_training import Choice
from platform.report.latex_and_markdown import escape_markdown
from platform.report.runs_table import Runs, format_condition
from platform.report.wording import Unit, spell_metric
from platform.stats.significance import t_interval

UNKNOWN = "not known"


def write_card(choice: Choice, description: dict[str, Any], runs: Runs, file: str) -> str:
    """Return the card of the model file of this name."""
    study, training = choice.study, description["training"]
    arm = training["axes"][study.compared]
    parts = [
        f"# {escape_markdown(training['name'])}",
        f"A network of the study *{escape_markdown(study.title)}* ({escape_markdown(study.source)}) at {training['scale']} scale: "
        f"{study.compared} {escape_markdown(str(arm))}, {study.replicated} {training['axes'][study.replicated]}, key `{training['key']}`.",
        "## Use",
        f"```\npython -m platform.predict {file} PICTURES...\n```",
        _list_facts(_describe_interface(description)),
        "## Data",
        _make_table(("Role", "Data set", "Options", "Licence", "Request at", "Fingerprint"), _list_data(description)),
        *_describe_images(description),
        "## Scores",
        _make_table(("Score", "This training", "Mean over seeds", "95 % interval of the mean", "Seeds"), _list_scores(choice, runs)),
        f"In percent where the score is a share. The intervals are t intervals over the {study.replicated}s of the run `{training['run']}` "
        "with the same settings; they say nothing of other persons, cameras or data sets.",
        *_tabulate_classes(description),
        "## Warnings",
        "\n".join(f"- {escape_markdown(text)}" for text in list_warnings(description)) or "None.",
        "## How it was trained",
        _list_facts(_describe_provenance(description)),
        f"```json\n{json.dumps({name: training[name] for name in ('task', 'task_settings', 'method', 'method_settings')}, indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def list_warnings(description: dict[str, Any]) -> list[str]:
    """Return what a user must know before trusting the model."""
    training, warnings = description["training"], list(description["flags"])
    if training["scale"] == "pocket":
        warnings.append("pocket scale: small settings that show how the study works, not the paper's")
    if any(part["kind"] == "faces" for data in description["data"].values() for part in data["sets"]):
        warnings.append("trained on rendered faces: it has seen no photograph in their place")
    for unit, counts in (description["split"].get("overlap") or {}).items():
        if counts["shared"]:
            share = f"{counts['shared']:,} of {counts['known']:,} test images ({counts['shared'] / counts['known']:.0%})"
            warnings.append(f"{share} share a {unit} with training: expect lower scores for new ones")
    if (copies := description["copies"]) and copies.get("policy") == "allow" and copies["copied"]:
        warnings.append(f"{copies['copied']:,} of {copies['test']:,} test images have copies in training")
    if description["provenance"].get("dirty"):
        warnings.append("trained by code with uncommitted changes")
    return warnings


def _describe_interface(description: dict[str, Any]) -> Iterable[tuple[str, str]]:
    entry, outputs = description["input"], description["outputs"]
    yield "Input", f"`{entry['type']} {entry['shape']}`: {entry['preprocessing']}"
    yield "Normalisation", str(entry["normalisation"])
    yield "Outputs", f"`logits` and `scores` ({outputs['scores']}), `float32 [n, {len(outputs['names'])}]` each"
    yield "Classes", ", ".join(map(escape_markdown, outputs["names"]))


def _list_data(description: dict[str, Any]) -> Iterable[Sequence[str]]:
    for role, data in description["data"].items():
        for part in data["sets"]:
            options = ", ".join(f"{name}={value}" for name, value in part["options"].items())
            licence = part["licence"] or UNKNOWN
            yield role, data["title"], options, licence, part["request_at"] or UNKNOWN, data["fingerprint"]


def _describe_images(description: dict[str, Any]) -> Iterable[str]:
    if counts := description["counts"]:
        numbers = ", ".join(f"{sum(each):,} {part}" for part, each in counts.items())
        yield f"Images: {numbers}."
    if unit := description["split"].get("unit"):
        yield f"Unit of the split: {escape_markdown(unit)}."


def _list_scores(choice: Choice, runs: Runs) -> Iterable[Sequence[str]]:
    design, axes = runs.design, choice.cell.axes
    condition = {axis: axes[axis] for axis in runs.axes}
    unit = Unit.from_runs(runs)
    for metric in filter(None, (design.metric, design.secondary, design.selector)):
        own = choice.result["metrics"].get(metric)
        values = runs.get_sample(str(axes[design.compared]), condition, metric).to_array()
        if own is None:
            continue
        interval = t_interval(values)
        bounds = f"{unit.format_value(interval.low)} to {unit.format_value(interval.high)}" if len(values) > 1 else UNKNOWN
        where = f" at {format_condition(condition)}" if condition else ""
        yield spell_metric(metric) + where, unit.format_value(own), unit.format_value(interval.mean), bounds, str(len(values))


def _tabulate_classes(description: dict[str, Any]) -> Iterable[str]:
    """Yield a table of each class's images and recall, if the training has a confusion matrix."""
    confusion, counts = description["confusion"], description["counts"]
    if not confusion or not counts:
        return
    rows = []
    for number, name in enumerate(description["outputs"]["names"]):
        tested = sum(confusion[number])
        recall = f"{100 * confusion[number][number] / tested:.1f}" if tested else UNKNOWN
        rows.append((name, f"{counts['train'][number]:,}", f"{tested:,}", recall))
    yield _make_table(("Class", "Training images", "Test images", "Recall of this training, %"), rows)


def _describe_provenance(description: dict[str, Any]) -> Iterable[tuple[str, str]]:
    training, split = description["training"], description["split"]
    yield "Selected epoch", str(training["selected_epoch"])
    yield "Split", f"`{split['hash']}`"
    if training["parent"]:
        yield "Starts from", f"`{training['parent']}`"
    for fact, value in description["provenance"].items():
        text = ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
        yield fact.capitalize(), escape_markdown(text)
    yield "Exported with", ", ".join(f"{name} {each}" for name, each in description["exported_with"].items())


def _list_facts(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts)


def _make_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([escape_markdown(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
