"""How long each method trains, and the choices that a paper leaves open, as a report states them."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.readings import describe_readings
from platform.report.runs_table import Design, Runs
from platform.report.training_amounts import list_training_amounts
from search_spaces.claims import Reading
from search_spaces.study import STUDIES, Scale, Study
from tests.report.conftest import Run
from tests.report.pages import Page, Report
from trainables.cell import Data
from trainables.data.source import Source


def test_the_report_states_steps_and_images_of_each_method() -> None:
    rows = [
        {"method": method, "place": place, "seed": seed, "test": 0.5 + 0.01 * seed, "state": "done", "reason": "", "split_hash": ""}
        | {"steps/fit": steps, "images/fit": 32 * steps}
        | ({"steps/probe": 50, "images/probe": 1600} if method == "B" else {})
        for method, counts in {"A": (100, 400), "B": (200, 200)}.items()
        for place, steps in zip("xy", counts, strict=True)
        for seed in range(3)
    ]
    runs = Runs(Design("t", "t", "method", "seed", ("place",), metric="test", selector=None), pd.DataFrame(rows))
    amounts = [(amount.arm, amount.phase, amount.steps_text, amount.images_text) for amount in list_training_amounts(runs)]
    assert amounts == [("A", "fit", "100 to 400", "3,200 to 12,800"), ("B", "fit", "200", "6,400"), ("B", "probe", "50", "1,600")]
    files = build_report_files(runs, compute_findings(runs), with_figures=False)
    assert "A fit 100 to 400 3,200 to 12,800" in " ".join(Page(files["index.html"].decode()).text.split())
    assert json.loads(files["report.json"])["trained"][0]["steps"] == [100, 400]
    assert "100 to 400" in files["tables/completeness.tex"].decode() and "1,600" in files["tables/completeness.tex"].decode()


def test_a_table_without_steps_says_nothing_of_them() -> None:
    table = pd.DataFrame([{"method": "A", "seed": 0, "test": 0.5, "state": "done", "reason": "", "split_hash": ""}])
    assert list_training_amounts(Runs(Design("t", "t", "method", "seed", (), metric="test", selector=None), table)) == []


def test_the_methods_state_what_was_taken_where_the_paper_leaves_a_choice(whole: Report, finished: Run) -> None:
    study = STUDIES.find("adults_as_augmentation")("pocket")
    sentences = describe_readings(study.readings, finished[1])
    assert len(sentences) == len(study.readings) == 5
    crop, budget = sentences[:2]
    assert crop.endswith("Taken: augmentation.scale = [0.8, 1.0] (the words: a crop keeps 80 to 100 % of the image's area).")
    assert "Taken: budget = steps (as many optimiser steps for every method" in budget
    assert " ".join(sentences) in " ".join(whole.data["methods"]) and whole.data["readings"] == sentences


def test_two_values_of_a_reading_are_both_stated(study: Study, finished: Run) -> None:
    _, cells = finished
    other = replace(cells[0], method_settings=cells[0].method_settings | {"partners": "anew"})
    (sentence,) = describe_readings([reading for reading in study.readings if reading.setting == "partners"], [cells[0], other])
    assert sentence.endswith("partners = once (drawn once for all epochs); partners = anew (drawn anew for each epoch).")
    (unknown,) = describe_readings([Reading("lr", "It says nothing.", {})], cells)
    assert unknown == "It says nothing. Taken: lr = 0.05."
    assert describe_readings([Reading("no_such", "It says nothing.", {})], cells) == []


ALT = STUDIES.find("annealed_label_transfer")
ROLES = {role: Data(source, f"fingerprint of {role}", role) for role, source in ALT("pocket").roles.items()}


@pytest.mark.parametrize("scale", ["pocket", "paper"])
def test_every_choice_of_annealed_label_transfer_is_explained(scale: Scale) -> None:
    """Each value that the study itself takes has an explanation. The ages are an option of a data set that it does not embed."""
    study = ALT(scale)
    sentences = dict(zip(EXPECTED, describe_readings(study.readings, study.make_cells(ROLES)), strict=True))
    assert [reading.setting for reading in study.readings] == [*EXPECTED, "years"]
    for setting, sentence in sentences.items():
        assert re.search(rf"Taken: {re.escape(setting)} = [^;]+ \(.+\)\.$", sentence, re.DOTALL), sentence
    assert "Taken: gate_loss = sum (summed over the gate's images" in sentences["gate_loss"]
    weight, batch = ("1.0", "32") if scale == "pocket" else ("3.0", "64")
    assert f"weight = {weight} (" in sentences["weight"] and f"batch = {batch} (" in sentences["batch"]
    assert "momentum = 0.9" in sentences["momentum"] and "augmentation.flip = 0.5" in sentences["augmentation.flip"]


EXPECTED = (
    *("gate_loss", "statistics", "noise", "temperature", "weight", "rates", "momentum", "weight_decay", "batch"),
    *("augmentation.flip", "augmentation.scale"),
)


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ((("years", "1-10"),), "years = 1-10 (the words; none is sorted out by eye)."),
        ((("score", "2"), ("years", "0-5")), "years = 0-5."),
        ((), "years = null (not given: all ages, or 12 or under with population=children)."),
    ],
)
def test_the_option_of_a_data_set_is_a_choice_too(options: tuple[tuple[str, str], ...], taken: str) -> None:
    study = ALT("pocket").narrow_axis("scenario", ["children"])
    roles = ROLES | {"pool_children": replace(ROLES["pool_children"], source=Source("imdb_wiki", "/p/imdb_crop", options=options))}
    (sentence,) = [text for text in describe_readings(study.readings, study.make_cells(roles)) if "IMDB-WIKI" in text]
    assert sentence.endswith(f"Taken: {taken}")
    others = ALT("pocket").narrow_axis("scenario", ["wild"]).make_cells(roles)
    assert not any("IMDB-WIKI" in text for text in describe_readings(study.readings, others)), "it is not in this scenario"


def test_both_gates_of_the_ablation_are_stated() -> None:
    study = STUDIES.find("annealed_label_transfer_gate")("pocket")
    sentences = describe_readings(study.readings, study.make_cells(ROLES))
    assert "gate_loss = sum (" in sentences[0] and "; gate_loss = mean (" in sentences[0]
    assert "statistics = kept (" in sentences[1] and "; statistics = moved (" in sentences[1]
