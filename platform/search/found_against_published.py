"""The study that compares the settings that searches found with the published ones, on seeds and test images that no search has used."""

from dataclasses import replace

from search_spaces.claims import Claim, Contrast, Place
from search_spaces.search_space import TunedSettings
from search_spaces.study import Study
from trainables.cell import Cell, Data

FOUND = "(found)"
"""end of the name of an arm with the settings found"""


def make_comparison_study(study: Study, found: list[TunedSettings], seeds: range) -> Study:
    """Return a study of the searched arms with the found and with the paper's settings, on these seeds, under the study's conditions.

    With several searched arms it also asks the study's own questions of the arms with the settings found: all of them are tuned.
    """
    arms = list(dict.fromkeys(settings.arms[0] for settings in found))
    compared = study.compared
    claims = [
        Claim(f"the settings found beat the paper's{f' ({arm})' * (len(arms) > 1)}", {compared: arm + FOUND}, {compared: arm})
        for arm in arms
    ]
    baseline = study.baseline and study.baseline + FOUND
    return replace(
        study,
        title=f"{study.title}: the settings found against the paper's",
        axes=study.axes | {compared: tuple(name for arm in arms for name in (arm, arm + FOUND)), study.replicated: tuple(seeds)},
        # the other arms are trained where they are parents, and are not compared
        arms=study.arms | {arm + FOUND: study.arms[arm] for arm in arms},
        baseline=arms[0] if len(arms) == 1 else baseline if study.baseline in arms else None,
        published=(),
        contrasts=tuple(Contrast(arm + FOUND, arm) for arm in arms) if len(arms) > 1 else (),
        claims=(*claims, *_list_tuned_claims(study, arms)),
        found=tuple(replace(settings, arms=(settings.arms[0] + FOUND,)) for settings in found),
    )


def make_comparison_cells(comparison: Study, data: dict[str, Data]) -> list[Cell]:
    """Return the cells of a comparison: those of the arms and conditions that have found settings, and what they start from."""
    cells = []
    for cell in comparison.make_cells(data):
        arm = str(cell.axes[comparison.compared])
        tuned = arm if arm.endswith(FOUND) else arm + FOUND
        if comparison.is_prerequisite(cell) or any(settings.applies_to(tuned, cell.axes) for settings in comparison.found):
            cells.append(cell)
    return cells


def _list_tuned_claims(study: Study, arms: list[str]) -> list[Claim]:
    """Return the study's claims about these arms alone, of the arms with the settings found."""
    claims = []
    for claim in study.claims:
        if all(place.get(study.compared) in arms for place in claim.places):
            a, b, a_from, b_from = (_tune_place(place, study.compared) for place in (claim.a, claim.b, claim.a_from, claim.b_from))
            assert a and b
            claims.append(replace(claim, text=f"{claim.text}, all tuned", a=a, b=b, a_from=a_from, b_from=b_from))
    return claims


def _tune_place(place: Place | None, compared: str) -> Place | None:
    return place and place | {compared: f"{place[compared]}{FOUND}"}
