"""Copies of test images in training, over all trainings of a run: what the copy guard found and did."""

from platform.report.runs_table import Runs


def describe_run_copies(runs: Runs) -> str:
    """Return a sentence or two on copies; empty if no training knows of them."""
    found = [result["copies"] for result in runs.results or [] if result and result.get("copies")]
    if not found:
        return ""
    worst, near = (max(found, key=lambda copies, name=name: copies[name]) for name in ("copied", "near"))  # type: ignore[misc]
    if worst["copied"]:
        kept = any(copies["policy"] == "allow" and copies["copied"] for copies in found)
        done = "they are trained on (copies=allow)" if kept else "they are left out there"
        text = f"Up to {worst['copied']:,} of {worst['test']:,} test images have identical or mirrored copies in training; {done}."
    else:
        text = "No test image has an identical or mirrored copy in training."
    if near["near"]:
        text += f" Up to {near['near']:,} of {near['test']:,} test images look nearly like an image in training."
    return text
