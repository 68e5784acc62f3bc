"""Findings: all that a report says of its runs, computed once. Page, tables and files only write it down."""

from dataclasses import dataclass, replace
from math import nan

from platform.report import (
    claim_tests,
    class_subset_gain,
    classes,
    comparison_families,
    confusions,
    cross_dataset,
    descriptive_statistics,
    printed_numbers,
    read_run_folder,
    saliency_summary,
    subgroups,
)
from platform.report.comparisons import Comparison
from platform.report.contrasts import ContrastRow, TrainingCost, compute_contrasts, compute_training_costs
from platform.report.outliers import Outlier, find_outliers
from platform.report.rank_overview import RankOverview, compute_rank_overview
from platform.report.runs_table import Runs
from trainables.storage.store import RunFolder


@dataclass(frozen=True)
class Findings:
    """All results of a report. The functions that compute the fields describe them."""

    cells: list[descriptive_statistics.ConditionSummary]
    floors: list[descriptive_statistics.ChanceLevel]
    answers: list[claim_tests.ClaimAnswer]
    winner: list[Comparison]
    overall: list[Comparison]
    published: list[Comparison]
    printed: dict[str, printed_numbers.Rows]
    confirmatory: list[Comparison]
    reference: str | None
    against: list[Comparison]
    contrasts: list[ContrastRow]
    costs: list[TrainingCost]
    pairwise: list[Comparison]
    ranks: RankOverview | None
    outliers: list[Outlier]
    agreement: list[descriptive_statistics.SelectionAgreement]
    power: list[descriptive_statistics.PowerAnalysis]
    groups: list[subgroups.Group]
    classes: list[classes.ClassRecalls]
    elsewhere: list[cross_dataset.CrossDatasetScore]
    confused: list[confusions.ConfusionTest]
    fewer: list[class_subset_gain.ClassSubsetGain]
    looks: list[saliency_summary.SaliencySummary]
    damaged: list[str]
    """one line for each file of the run that could not be read; its section is left out"""
    flags: list[read_run_folder.Flag]
    origins: list[read_run_folder.Origin]
    far_below: list[str]
    tied: dict[str, set[str]]

    @property
    def shows_strong(self) -> bool:
        """Whether figures are also drawn without the arms that are far below the others."""
        return 0 < len(self.far_below) < len({row.arm for row in self.cells})

    @property
    def wholes(self) -> list[Comparison]:
        """The claims' comparisons over all their conditions."""
        return [answer.whole for answer in self.answers if answer.whole]


def compute_findings(runs: Runs, run: RunFolder | None = None) -> Findings:
    """Compute everything that a report says. `run` is the folder where ferray's own runs keep their predictions."""
    cells, floors = descriptive_statistics.summarise_conditions(runs), descriptive_statistics.compute_chance_levels(runs)
    confirmatory, reference = comparison_families.compare_confirmatory(runs), comparison_families.find_reference_arm(runs)
    answers, winner = claim_tests.test_claims(runs), comparison_families.compare_winner(runs)
    wholes = [answer.whole for answer in answers if answer.whole]
    pairs = comparison_families.compare_all_pairs(runs)
    recalls = classes.compute_class_recalls(runs)
    explained, damaged = saliency_summary.read_saliency_summaries(run) if run else ([], [])
    findings = Findings(
        cells=cells,
        floors=floors,
        answers=answers,
        winner=winner,
        overall=comparison_families.compare_overall(runs, reference),
        published=comparison_families.compare_as_published(runs),
        printed=printed_numbers.compare_with_printed(runs, recalls),
        confirmatory=confirmatory,
        reference=reference,
        against=comparison_families.compare_with_reference(runs, reference),
        contrasts=compute_contrasts(runs),
        costs=compute_training_costs(runs),
        pairwise=pairs,
        ranks=compute_rank_overview(runs),
        outliers=find_outliers(runs),
        agreement=descriptive_statistics.measure_agreement(runs),
        power=descriptive_statistics.tabulate_power(runs, [*winner, *wholes, *(confirmatory if len(runs.conditions) > 1 else [])]),
        groups=subgroups.compute_subgroup_accuracies(runs, run) if run else [],
        classes=recalls,
        elsewhere=cross_dataset.compute_cross_dataset_scores(runs),
        confused=confusions.test_confusions(runs),
        fewer=class_subset_gain.compare_class_subsets(runs, run) if run else [],
        looks=explained,
        damaged=damaged,
        flags=read_run_folder.list_flags(runs),
        origins=read_run_folder.list_origins(runs),
        far_below=descriptive_statistics.find_weak_arms(runs, cells, floors),
        tied=descriptive_statistics.find_tied_arms(runs, pairs),
    )
    return _drop_fixed_tests(findings) if runs.plan else findings


def _drop_fixed_tests(found: Findings) -> Findings:
    """Return the findings without the tests that are not valid if seeds were added until claims were decided. Estimates stay."""
    return replace(
        found,
        ranks=None,
        classes=[replace(row, p=[None] * len(row.p), p_adj=[None] * len(row.p), m=0, low=[]) for row in found.classes],
        confused=[replace(row, p=nan, p_adj=nan, m=0) for row in found.confused],
        fewer=[replace(row, p=nan, p_adj=nan, p_equivalence=nan, p_equivalence_adj=nan, m=0) for row in found.fewer],
        tied={},
    )
