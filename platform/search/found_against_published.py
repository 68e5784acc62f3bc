"""The study that compares the settings that a search found with the published ones."""

from dataclasses import replace

from search_spaces.claims import Claim
from search_spaces.search_space import TunedSettings
from search_spaces.study import Study


def make_comparison_study(study: Study, found: list[TunedSettings], seeds: range) -> Study:
    """Return a study of the searched arm with the found and with the paper's settings, on these seeds, under the study's conditions."""
    arm = found[0].arm
    tuned = f"{arm}(found)"
    return replace(
        study,
        title=f"{study.title}: the settings found against the paper's",
        axes=study.axes | {study.compared: (arm, tuned), study.replicated: tuple(seeds)},
        arms=study.arms | {tuned: study.arms[arm]},  # the other arms are trained where they are its parents, and are not compared
        baseline=arm,
        published=(),
        contrasts=(),
        claims=(Claim("the settings found beat the paper's", {study.compared: tuned}, {study.compared: arm}),),
        found=tuple(replace(settings, arm=tuned) for settings in found),
    )
