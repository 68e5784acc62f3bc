"""States what a report's intervals do not contain: how far accuracies would move on other test images."""

import numpy as np

from platform.report.runs_table import Runs


def describe_image_sampling(runs: Runs) -> str:
    """Return a sentence on the binomial variation of a mean accuracy between test sets of the same size. Empty for other metrics.

    It is that of a typical accuracy and a test set of typical size. Trainings of several seeds on the same test images share it, so their
    number does not reduce it.
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
    return (
        f"Inference is over {runs.design.replicated}s, given these test images. On other test images of the same number ({n:.0f}) each "
        f"mean accuracy could differ by a further ± {half:.1f} points (95 %, binomial); differences between {runs.design.compared}s "
        "on the same images vary less."
    )
