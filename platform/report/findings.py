"""Findings: all that a report says of its runs, computed once. Page, tables and files only write it down."""

from dataclasses import dataclass

from platform.report import class_subsets, classes, confusions, cross_dataset, families, folder, groups, saliency_summary, summary
from platform.report.comparisons import Comparison
from platform.report.contrasts import ContrastRow, TrainingCost, compute_contrasts, compute_training_costs
from platform.report.runs import Runs
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class Findings:
    """All results of a report. The functions that compute the fields describe them."""

    cells: list[summary.ConditionSummary]
    floors: list[summary.ChanceLevel]
    published: list[Comparison]
    confirmatory: list[Comparison]
    answers: list[families.ClaimAnswer]
    reference: str | None
    against: list[Comparison]
    contrasts: list[ContrastRow]
    costs: list[TrainingCost]
    pairwise: list[Comparison]
    overall: list[summary.OverallDifference]
    agreement: list[summary.SelectionAgreement]
    power: list[summary.PowerAnalysis]
    groups: list[groups.Group]
    classes: list[classes.ClassRecalls]
    elsewhere: list[cross_dataset.CrossDatasetScore]
    confused: list[confusions.ConfusionTest]
    fewer: list[class_subsets.ClassSubsetGain]
    looks: list[saliency_summary.SaliencySummary]
    damaged: list[str]
    """one line for each file of the run that could not be read; its section is left out"""
    flags: list[folder.Flag]
    origins: list[folder.Origin]
    far_below: list[str]
    tied: dict[str, set[str]]


def compute_findings(runs: Runs, run: RunFolder | None = None) -> Findings:
    """Compute everything that a report says. `run` is the folder where ferray's own runs keep their predictions."""
    cells, floors = summary.summarise_conditions(runs), summary.compute_chance_levels(runs)
    confirmatory, reference = families.compare_confirmatory(runs), families.find_reference_arm(runs)
    pairs = families.compare_all_pairs(runs)
    explained, damaged = saliency_summary.read_saliency_summaries(run) if run else ([], [])
    return Findings(
        cells=cells,
        floors=floors,
        published=families.compare_as_published(runs),
        confirmatory=confirmatory,
        answers=families.test_claims(runs),
        reference=reference,
        against=families.compare_with_reference(runs, reference),
        contrasts=compute_contrasts(runs),
        costs=compute_training_costs(runs),
        pairwise=pairs,
        overall=summary.summarise_overall(runs, reference),
        agreement=summary.measure_agreement(runs),
        power=summary.tabulate_power(runs, confirmatory),
        groups=groups.compute_subgroup_accuracies(runs, run) if run else [],
        classes=classes.compute_class_recalls(runs),
        elsewhere=cross_dataset.compute_cross_dataset_scores(runs),
        confused=confusions.test_confusions(runs),
        fewer=class_subsets.compare_class_subsets(runs, run) if run else [],
        looks=explained,
        damaged=damaged,
        flags=folder.list_flags(runs),
        origins=folder.list_origins(runs),
        far_below=summary.find_weak_arms(runs, cells, floors),
        tied=summary.find_tied_arms(runs, pairs),
    )
