"""Describes in sentences a grid that added seeds until its claims were decided."""

from typing import NamedTuple

from platform.report.runs_table import Runs
from platform.report.sequential_claims import list_needed_points
from platform.report.sequential_plan import SequentialPlan
from platform.report.wording import Unit


class SequentialDescription(NamedTuple):
    """Sentences on the design of a run and on the trainings that it saved."""

    looks: list[int]
    most: int
    futility: str
    trained: int
    """trainings that are done or have failed, without prerequisites"""
    most_trainings: int
    """the same if no claim were decided before the most seeds"""
    savings: str
    test: str
    reading: str
    failed: str
    """the rule for trainings that have failed"""
    failures: str
    """how many have; empty if none has"""


def describe_sequential_run(runs: Runs) -> SequentialDescription | None:
    """Return the description; None for a grid of a fixed number of seeds."""
    if (plan := runs.plan) is None:
        return None
    seeds, most = f"{plan.replicated}s", plan.design.most
    points = {(arm, *condition.values()) for planned in plan.claims for arm, condition in list_needed_points(runs, planned)}
    largest, failed = len(points) * most, runs.state_counts["failed"]
    trained = runs.state_counts["done"] + failed
    rule = (
        f"A training that has failed when its look is made is not repeated, and its {plan.replicated} has no difference for the claims "
        "that need it: the mean leaves it out, the flips count it as 0, and those of equivalence as lying at the margin."
    )
    saved = f"; {largest - trained} ({(largest - trained) / largest:.0%}) were not made" if trained < largest else ""
    if runs.state_counts["missing"]:
        saved = "; the grid is not at its end"
    return SequentialDescription(
        looks=list(plan.design.looks),
        most=most,
        futility=f"{plan.design.futility:g}",
        trained=trained,
        most_trainings=largest,
        savings=f"{trained:,} of the {largest:,} trainings were made that {most} {seeds} would take{saved}.",
        test=_describe_test(runs, plan),
        reading=_describe_reading(runs, plan),
        failed=rule,
        failures=f"{failed} {'training has' if failed == 1 else 'trainings have'} failed. {rule}" if failed else "",
    )


def _describe_test(runs: Runs, plan: SequentialPlan) -> str:
    """Return how the claims were tested and what that assumes."""
    design, one, seeds = plan.design, plan.replicated, f"{plan.replicated}s"
    blind = [look for look, spent in zip(design.looks, design.spend_alpha(), strict=True) if spent * 2**look < 2]
    looks = _list_words(design.looks)
    parts = [
        f"{seeds.capitalize()} were added in blocks until each claim was decided or given up, at most {design.most}. The design, fixed "
        f"before the first training: at {looks} {seeds} every open claim is tested by flipping the signs of whole {seeds}' "
        "differences, jointly for all claims (step-down max-T; Westfall and Young 1993). A family-wise level of "
        f"{design.alpha:g} is spent over the looks by the O'Brien-Fleming type function of Lan and DeMets (1983)."
    ]
    if blind:
        parts.append(f"With {_list_words(blind)} {seeds} nothing can be rejected.")
    if design.futility:
        parts.append(f"A claim is given up where its conditional power is below {design.futility:g}.")
    about = ""
    if design.margin:
        amount = Unit.from_runs(runs).format_amount(design.margin)
        parts.append(f"Equivalence within the margin of {amount} is tested alike, as a family of its own with one-sided tests.")
        about = "; for equivalence, about plus or minus the margin"
    parts.append(
        f"The test assumes that the differences are symmetric: where a and b do not differ, a {one}'s difference is as likely as its "
        f"negative{about}."
    )
    return " ".join(parts)


def _describe_reading(runs: Runs, plan: SequentialPlan) -> str:
    """Return how the table of the claims is to be read."""
    one, better = plan.replicated, "higher" if runs.design.higher_is_better else "lower"
    return (
        f"Difference: the mean over {one}s of a − b, each the mean over the claim's conditions; {better} is better. Its interval is the "
        "repeated 95 % interval, which holds at every look; a mean after an early decision is more often too large than too small. p is "
        f"adjusted for looks and claims. Each claim has the {one}s up to its decision; no test of a fixed number of {one}s is made. A "
        "claim that two are equivalent goes on until that is shown, or a difference that is larger than the margin."
    )


def _list_words(numbers: list[int] | tuple[int, ...]) -> str:
    words = [str(number) for number in numbers]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
