"""What test images and training share, over all trainings of a run: copies, persons and sequences, and the unit of the split."""

from platform.report.runs_table import Runs


def describe_run_copies(runs: Runs) -> str:
    """Return a sentence or two on copies; empty if no training knows of them."""
    found = [result["copies"] for result in runs.results or [] if result and result.get("copies")]
    if not found:
        return ""
    worst, near = (max(found, key=lambda copies, name=name: copies[name]) for name in ("copied", "near"))  # type: ignore[misc]
    if worst["copied"]:
        kept = any(copies["policy"] == "allow" and copies["copied"] for copies in found)
        verb, done = ("have", "they are trained on (copies=allow)") if kept else ("had", "they are left out there")
        copied = f"{worst['copied']:,} of {worst['test']:,} test images"
        text = f"Up to {copied} {verb} identical or mirrored copies in training; {done}."
    else:
        text = "No test image has an identical or mirrored copy in training."
    if near["near"]:
        looked = "looked nearly like an image in training, which is left out there"
        looks = looked if near["policy"] == "drop-near" else "look nearly like an image in training"
        text += f" Up to {near['near']:,} of {near['test']:,} test images {looks}."
    return text


def describe_run_split(runs: Runs) -> str:
    """Return the unit of the split, and the number of test images whose person or sequence also occurs in training."""
    found = [result["split"] for result in runs.results or [] if result and result.get("split")]
    if not found:
        return ""
    text = f"Unit of the split: {'; '.join(dict.fromkeys(split['unit'] for split in found))}."
    for unit, verb in (("subject", "show a person who is"), ("sequence", "are frames of a sequence that is")):
        overlaps = [split["overlap"][unit] for split in found if unit in split["overlap"]]
        if overlaps:
            worst = max(overlaps, key=lambda overlap: overlap["shared"] / overlap["known"])
            share = f"{worst['shared']:,} of {worst['known']:,} test images ({worst['shared'] / worst['known']:.0%})"
            most = "In the split with the most, " if len({overlap["shared"] / overlap["known"] for overlap in overlaps}) > 1 else ""
            text += f" {most}{share} {verb} in training, too."
    return text
