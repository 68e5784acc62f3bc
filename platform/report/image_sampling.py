"""States what a report's intervals do not contain: how far accuracies would move on other test images."""

import numpy as np

from platform.report.runs_table import Runs


def describe_image_sampling(runs: Runs) -> str:
    """Return a sentence on the binomial variation of an accuracy between test sets of the same size. Empty for other metrics.

    It is that of a typical accuracy and a test set of typical size. Trainings of several seeds on the same test images share it, so their
    number does not reduce it; where each seed has test images of its own, part of it is in the spread over seeds.
    """
    table, metric = runs.table, runs.design.metric
    if metric.rpartition("/")[2] != "accuracy" or "n_test" not in table:
        return ""
    done = table[table["state"] == "done"]
    share, images = done[metric].to_numpy(float), done["n_test"].to_numpy(float)
    known = np.isfinite(share) & np.isfinite(images) & (images > 0) & (share >= 0) & (share <= 1)
    if not known.any():
        return ""
    typical, n = float(np.median(share[known])), float(np.median(images[known]))
    half = 100 * 1.96 * (typical * (1 - typical) / n) ** 0.5
    seed, arm = runs.design.replicated, runs.design.compared
    return (
        f"The choice of {n:.0f} test images alone, a typical test set here, moves an accuracy by "
        f"± {half:.1f} points (95 %, binomial), and a difference between {arm}s on the same images by less. The intervals contain this "
        f"only as far as {seed}s differ in their test images."
    )
