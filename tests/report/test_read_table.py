"""Tables of other origin: a written table is read back as runs, and content that cannot be trusted is named by row and column."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform.report.read_results_table import LARGEST, REPLICATES, read_table
from tests.report.tables import PLAIN, refused, sample, written
from trainables.data.spreadsheet_formulas import remove_apostrophe

UNTESTED = "no method has 3 seeds that are done: nothing is tested"


@pytest.mark.parametrize(
    "name, content",
    {
        "plain.csv": PLAIN.encode(),
        "bom.csv": PLAIN.encode("utf-8-sig"),
        "utf16.csv": PLAIN.encode("utf-16"),
        "windows.csv": PLAIN.replace("\n", "\r\n").encode(),
        "old_mac.csv": PLAIN.replace("\n", "\r").encode(),
        "semicolon.csv": PLAIN.replace(",", ";").replace("0.", "0,").encode(),
        "points.csv": PLAIN.replace(",", ";").encode(),
        "tab.csv": PLAIN.replace(",", "\t").encode(),
        "tab.tsv": PLAIN.replace(",", "\t").encode(),
        "UPPER.CSV": PLAIN.encode(),
        "quoted.csv": "".join(",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in PLAIN.split()).encode(),
        "spaces.csv": PLAIN.replace(",", " , ").encode(),
        "blank_lines.csv": b"\n" + PLAIN.replace("\n", "\n\n  \n").encode() + b",,\n",
        "index.csv": "".join(f"{'' if i == 0 else i},{line}\n" for i, line in enumerate(PLAIN.split())).encode(),
        "unended.csv": PLAIN.rstrip().encode(),
    }.items(),
)
def test_every_way_to_write_a_table_reads_the_same(tmp_path, name, content):
    runs = read_table(written(tmp_path, content, name))
    assert (runs.arms, runs.replicates, runs.notes) == (["A", "B"], [0, 1], [UNTESTED])
    assert sample(runs, "A") == {0: 0.5, 1: 0.625} and sample(runs, "B") == {0: 0.75, 1: 0.875}
    assert (runs.design.title, runs.design.source) == (Path(name).stem, name)


def test_what_the_report_is_told(tmp_path):
    runs = read_table(written(tmp_path, PLAIN), baseline="B", higher_is_better=False, rope=0.01)
    design = runs.design
    assert (design.compared, design.replicated, design.conditions, design.along) == ("method", "seed", (), None)
    assert (design.metric, design.selector, design.secondary) == ("test", None, None)
    assert (design.baseline, design.higher_is_better, design.rope, design.percent) == ("B", False, 0.01, False)
    assert list(runs.table["state"].unique()) == ["done"] and list(runs.table["split_hash"].unique()) == [""]


def test_text_that_is_not_utf8_is_read_with_a_note(tmp_path):
    runs = read_table(written(tmp_path, PLAIN.replace("A", "Müller €").encode("cp1252")))
    assert runs.arms == ["Müller €", "B"] and "read as cp1252" in runs.notes[0]


@pytest.mark.parametrize(
    "content, says",
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("method,seed,test\n", "has a header and no row"),
        ("method,seed,test\n,,\n\n", "has a header and no row"),
        (b"\x7fELF\x02\x01\x01\x00\x00\xff\xfe", "is not text"),
        (PLAIN.encode("utf-16-le"), "is not text"),
        (b"\xff\xfea", "has a UTF-16 byte order mark"),
        ("method,seed,test,seed\nA,0,1,2\n", "row 1: two columns are called seed"),
        ("Method,seed,test\nA,0,1\n", "no column method; did you mean Method?"),
        ("model,seed,test\nA,0,1\n", "did you mean model? call the column of what is compared method (columns: model, seed, test)"),
        ("method,sed,test\nA,0,1\n", "no column seed; did you mean sed?"),
        ("method,seed,tset\nA,0,1\n", "no column test; did you mean tset?"),
        ("method,seed,f1\nA,0,1\n", "name the column of the numbers: --metric NAME (columns: method, seed, f1)"),
        ("method,seed,test\nA,0,.5\nA,1,oops\n", "row 3, column test: 'oops' is not a number"),
        ('method,seed,test\nA,0,.5\nA,1,"0,5"\n', "row 3, column test: '0,5' is not a number"),
        ("method,seed,test\nA,0,.5\nA,1,85%\n", "row 3, column test: '85%' is not a number"),
        ("method,seed,test\nA,0,.5\nA,1,1_0\n", "row 3, column test: '1_0' is not a number"),
        (f"method,seed,test\n{'x' * 200_000},0,.5\nA,1,{'y' * 99}\n", f"row 3, column test: '{'y' * 60}' is not a number"),
        (f'method,seed,test\nA,"0,1\n{200_000 * "x"}\n', "row 2 has 2 fields, the header 3"),
        ("sep=;\nmethod;seed;test\nA;0;1\n", "row 2 has 3 fields, the header 2"),
        ("some text\nand more\n", "no column method"),
        ("method;seed;test\nA;0;1.234,5\n", "row 2, column test: '1.234,5' is not a number"),
        ("method,seed,test\nA,0,.5\nA,1,True\n", "row 3, column test: 'True' is not a number"),
        ("method,seed,test\nA,0,True\nA,1,False\nB,0,\n", "column test holds true and false"),
        ("method,seed,test\nA,0,\nA,1,nan\n", "column test holds no number"),
        ("method,seed,test,val\nA,0,1,x\n", "row 2, column val: 'x' is not a number"),
        ("method,seed,test\n,0,1\n", "row 2, column method: is empty"),
        ("method,seed,test\nA,0,1\nA, ,1\n", "row 3, column seed: is empty"),
        ("method,seed,test\nA,0,1\nA,nan,1\n", "row 3, column seed: is nan among numbers"),
        ("method,seed,test\nA,0,1\n\nA,1\n", "row 4 has 2 fields, the header 3"),
        ("method,seed,test\nA,0,1\nA,1,1,1\n", "row 3 has 4 fields, the header 3"),
        ('method,seed,test\nA,0,1\nA,"1,1\nB,0,1\n', "row 3 has 2 fields, the header 3"),
        ("method,seed,test\nA,0,1\n\n\nA,1,x\n", "row 5, column test: 'x'"),
        ('method,seed,test\n"A\nB",0,1\n\nA,1,x\n', "row 4 (line 5 in an editor), column test: 'x'"),
        ('method,seed,test\n"A\n\nB",0,1\n"A\n\nB",0,2\n', "rows 2 and 3 (line 5 in an editor) are both method A B, seed 0"),
        ("method,seed,test,state\nA,0,1,finished\nA,1,1,crashed\n", "column state: no row is done (states: finished, crashed)"),
        ("method,seed,test\nA,0,1\nA,0,2\nA,0,1\n", "rows 2 and 3 are both method A, seed 0, with different numbers"),
        ("method,seed,test,val\nA,0,1,1\nA,0,1,2\n", "rows 2 and 3 are both method A, seed 0, with different numbers"),
        ("method,seed,test\nA,1,1\nA,1.0,2\n", "rows 2 and 3 are both method A, seed 1, with different numbers"),
        ("method,seed,test,study\nA,0,1,X\nA,1,1,Y\nA,2,1,\n", "row 4, column study: is empty"),
    ],
)
def test_what_cannot_be_trusted_is_named(tmp_path, content, says):
    refused(written(tmp_path, content), says)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"conditions": ["rato"]}, "unknown condition 'rato'; did you mean ratio?"),
        ({"conditions": ["Ratio"]}, "unknown condition 'Ratio'; did you mean ratio?"),
        ({"conditions": ["size"]}, "row 3, column size: is empty; every training needs its size"),
        ({"conditions": ["hole"]}, "row 3, column hole: is NA among numbers"),
        ({"conditions": ["method"]}, "column method cannot be a condition"),
        ({"conditions": ["seed"]}, "column seed cannot be a condition"),
        ({"conditions": ["test"]}, "column test cannot be a condition"),
        ({"conditions": ["val"]}, "column val cannot be a condition"),
        ({"conditions": ["state"]}, "column state cannot be a condition"),
        ({"conditions": ["reason"]}, "column reason cannot be a condition"),
        ({"conditions": ["split_hash"]}, "column split_hash cannot be a condition"),
        ({"metric": "seed"}, "no column seed"),
        ({"metric": "nonsense"}, "no column nonsense"),
        ({"metric": "ratio", "conditions": ["ratio"]}, "column ratio cannot be a condition"),
        ({"baseline": ""}, "unknown baseline '' (known: SC(c), SL(c))"),
        ({"baseline": "SC(d)"}, "unknown baseline 'SC(d)'; did you mean SC(c)?"),
        ({"baseline": "sc(c)"}, "unknown baseline 'sc(c)'; did you mean SC(c)?"),
    ],
)
def test_a_request_that_the_table_cannot_meet(tmp_path, options, says):
    header = "method,seed,ratio,size,hole,test,val,state,reason,split_hash\n"
    refused(written(tmp_path, header + "SC(c),0,1,5,1,.5,.5,done,,\nSL(c),0,1,,NA,.5,.5,done,,\n"), says, **options)


def test_paths_that_are_no_table(tmp_path):
    refused(str(tmp_path / "none.csv"), "No such file")
    refused(str(tmp_path), "is a folder")
    refused(written(tmp_path, "PK", "any.xlsx"), "save it as one of them")
    refused(written(tmp_path, "no parquet", "any.parquet"), "is not a .parquet table")
    refused(written(tmp_path, "", "empty.parquet"), "is not a .parquet table")


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "NA", "N/A", "#N/A", "null", "None", "-", "inf", "-Inf", "1e999"])
def test_a_cell_without_a_number_is_a_failed_training(tmp_path, cell):
    runs = read_table(written(tmp_path, PLAIN + f"B,2,{cell}\nA,2,0\n"))
    row = runs.table.iloc[4]
    assert (row["method"], row["state"], row["reason"]) == ("B", "failed", "no number in column test")
    assert sample(runs, "B") == {0: 0.75, 1: 0.875} and sample(runs, "A")[2] == 0
    assert runs.notes == ["1 of 6 trainings failed or have no number: they count as failed"]


def test_states_are_honoured(tmp_path):
    rows = "A,0,.5,done,\nA,1,.9,failed,out of memory\nA,2,,missing,not begun\nA,3,.5,,\nA,4,.5,crashed,\nA,5,,done,\n"
    runs = read_table(written(tmp_path, "method,seed,test,state,reason\n" + rows))
    assert list(zip(runs.table["state"], runs.table["reason"], strict=True)) == [
        ("done", ""),
        ("failed", "out of memory"),
        ("missing", "not begun"),
        ("failed", "no state"),
        ("failed", "state crashed"),
        ("failed", "no number in column test"),
    ]
    assert sample(runs, "A") == {0: 0.5}


def ferray(folder: Path) -> str:
    """Write runs.csv as platform.report does. Return its path."""
    rows = []
    for number, (arm, split, ratio, seed) in enumerate(
        (a, s, r, i) for a in ("SL(c)", "SC(c<-a)") for s in (0.5, 0.9) for r in (1, 5) for i in range(3)
    ):
        done = number != 4
        score = number / 64
        numbers = [score, score + 0.25, 1 - score, score / 2, 7] if done else [""] * 5
        rows.append(
            [f"{number:020x}", arm, split, ratio, seed, "done" if done else "failed", *numbers, f"h{seed}", "", 6.5, "" if done else "boom"]
        )
    names = [
        "test/accuracy",
        "test/balanced_accuracy",
        "train/loss",
        "val/accuracy",
        "selected_epoch",
        "split_hash",
        "flags",
        "seconds",
        "reason",
    ]
    file = folder / "runs.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["key", "method", "split", "ratio", "seed", "state", *names], *rows])
    return str(file)


def test_ferrays_own_runs(tmp_path):
    runs = read_table(ferray(tmp_path), conditions=["split", "ratio"], baseline="SL(c)")
    design = runs.design
    assert (design.metric, design.selector, design.secondary) == ("test/accuracy", "val/accuracy", "test/balanced_accuracy")
    assert (design.conditions, design.along) == (("split", "ratio"), "ratio")
    assert runs.axes == {"split": [0.5, 0.9], "ratio": [1, 5]} and all(type(ratio) is int for ratio in runs.axes["ratio"])
    assert sample(runs, "SL(c)", split=0.5, ratio=5) == {0: 3 / 64, 2: 5 / 64}
    assert runs.get_sample("SL(c)", {"split": 0.5, "ratio": 1}).splits == {0: "h0", 1: "h1", 2: "h2"}
    assert runs.table["reason"][4] == "boom" and len(runs.table) == 24


@pytest.mark.parametrize(
    "conditions, says",
    [([], "--condition split,ratio"), (["split"], "--condition split,ratio"), (["ratio"], "--condition ratio,split")],
)
def test_a_forgotten_condition_is_found(tmp_path, conditions, says):
    refused(ferray(tmp_path), "if another column tells them apart, name it: " + says, conditions=conditions)


def test_no_column_tells_duplicates_apart(tmp_path):
    refused(written(tmp_path, "method,seed,test,lab\nA,0,1,x\nA,0,2,x\n"), "keep one, or give each its seed")


def test_rows_that_repeat_are_kept_once(tmp_path):
    runs = read_table(written(tmp_path, PLAIN + "A,0,0.50\nA,0.0,.5\n"))
    assert sample(runs, "A") == {0: 0.5, 1: 0.625} and runs.notes == ["2 rows repeat another in all that is read: kept once", UNTESTED]


@pytest.mark.parametrize(
    "metric, higher, metric_read, selector",
    [
        ("test", True, "test/accuracy", "val/accuracy"),
        ("test/loss", False, "test/loss", "val/loss"),
        ("test/f1", True, "test/f1", "val/accuracy"),
        ("test/ece", False, "test/ece", None),
        ("val", True, "val/accuracy", None),
    ],
)
def test_the_selector_points_the_metrics_way(tmp_path, metric, higher, metric_read, selector):
    names = "test/accuracy,val/accuracy,test/loss,val/loss,test/f1,test/ece"
    design = read_table(written(tmp_path, f"method,seed,{names}\nA,0,1,2,3,4,5,6\n"), metric, higher_is_better=higher).design
    assert (design.metric, design.selector) == (metric_read, selector)


def test_a_selector_without_numbers_is_not_used(tmp_path):
    runs = read_table(written(tmp_path, "method,seed,test,val\nA,0,1,\nB,0,1,NA\n"))
    assert runs.design.selector is None and "column val holds no number: not used" in runs.notes


def test_an_optional_column_in_other_capitals_is_noted(tmp_path):
    notes = read_table(written(tmp_path, "method,seed,test,State,Val\nA,0,1,crashed,1\nB,0,1,finished,1\n")).notes
    assert notes[0] == "column State is not read; if it is the state, call it state" and "column Val" in notes[1]


def test_one_study_is_the_title_and_several_the_first_condition(tmp_path):
    assert read_table(written(tmp_path, "study,method,seed,test\nX,A,0,1\nX,B,0,1\n")).design.title == "X"
    file = written(tmp_path, "study,method,seed,ratio,test\nX,A,0,1,1\nX,B,0,1,1\n7,A,8,1,1\n7,C,8,1,1\n")
    for conditions in (["ratio"], ["ratio", "study"]):
        runs = read_table(file, conditions=conditions)
        assert (runs.design.title, runs.design.conditions) == ("any", ("study", "ratio"))
        assert runs.axes == {"study": ["X", "7"], "ratio": [1]} and len(runs.table) == 4


def test_values_and_names_stay_what_they_are(tmp_path):
    rows = [("1", "0.5", "none"), ("_%&<>$\\", "5", "a;b"), ("😀", "5.0", "1.10"), (" spaced ", "1e1", "1.1")]
    text = "method,seed,ratio,kind,test\n" + "".join(f"{method},0,{ratio},{kind},1\n" for method, ratio, kind in rows)
    runs = read_table(written(tmp_path, text), conditions=["ratio", "kind"])
    assert runs.arms == ["1", "_%&<>$\\", "😀", "spaced"]
    assert list(map(repr, runs.axes["ratio"])) == ["0.5", "5", "10"]
    assert runs.axes["kind"] == ["none", "a;b", "1.10", "1.1"]
    assert runs.design.along == "ratio"


def test_tables_that_say_little_are_read(tmp_path):
    runs = read_table(written(tmp_path, "method,seed,test\nA,0,1\n"))
    assert len(runs.notes) == 2 and "one method only" in runs.notes[0] and "one seed only" in runs.notes[1]
    two = "A,0,1\nA,1,1\nB,0,1\nB,1,1\n"
    constant = read_table(written(tmp_path, f"method,seed,test\n{two}"))
    assert constant.notes == [UNTESTED] and sample(constant, "B") == {0: 1, 1: 1}
    assert read_table(written(tmp_path, f"method,seed,test\n{two}A,2,1\nB,2,1\n")).notes == []
    with_a_failure = read_table(written(tmp_path, f"method,seed,test\n{two}A,2,\nB,2,nan\n")).notes
    assert with_a_failure == ["2 of 6 trainings failed or have no number: they count as failed", UNTESTED]


def test_parquet_of_many_types(tmp_path):
    frame = pd.DataFrame(
        {
            "method": pd.Categorical(["A", "A", "B", "B"]),
            "seed": pd.array([0, 1, 0, 1], dtype="Int64"),
            "deep": [True, True, True, False],
            "width": np.array([0.1, 0.1, 0.1, 5], np.float32),
            "test": [0.5, None, 0.1, 1],
            "extra": [[1], [2], [3], [4]],
        }
    )
    frame.set_index(["method", "seed"]).to_parquet(file := tmp_path / "any.parquet")
    runs = read_table(str(file), conditions=["deep", "width"])
    assert runs.axes == {"deep": ["True", "False"], "width": [0.1, 5]}
    assert sample(runs, "B", deep="True", width=0.1) == {0: 0.1}
    assert runs.table["state"].tolist()[:4] == ["done", "failed", "done", "done"]
    frame.assign(test=[True, False, True, False]).to_parquet(file)
    refused(str(file), "column test holds true and false")
    frame.assign(test=["1", "2", "x", "4"]).to_parquet(file)
    refused(str(file), "row 4, column test: 'x' is not a number")
    frame.assign(seed=pd.array([0, None, 0, 1], dtype="Int64")).to_parquet(file)
    refused(str(file), "row 3, column seed: is empty")
    frame.iloc[:0].to_parquet(file)
    refused(str(file), "has a header and no row")


NAMES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Zs", "Zl", "Zp", "Cf"]), min_size=1, max_size=6).filter(
    lambda name: remove_apostrophe(name) == name  # as '=1+1' is the name =1+1
)
NUMBERS = st.one_of(st.floats(-LARGEST, LARGEST), st.sampled_from([np.nan, np.inf, -np.inf]))


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from([0.5, 1, 5, 2.25]), st.integers(-5, 5), NUMBERS),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[:3],
    ),
    st.sampled_from(["csv ,", "csv ;", "csv \t", "tsv", "latin-1", "utf-16", "parquet"]),
)
@example([('"', 1, 0, 5e-324), ("a;b,c", 1, 0, -0.0), ("ÿ", 0.5, 0, 1e300)], "latin-1")
@example([("<NA>", 1, 0, 0.5), ("nan", 1, 0, 0.5)], "parquet")
@settings(max_examples=100)
def test_round_trip(rows, way):
    frame = pd.DataFrame(rows, columns=["method", "ratio", "seed", "test"])
    finite = np.isfinite(frame["test"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"any.{way if way in ('tsv', 'parquet') else 'csv'}")
        if way == "parquet":
            frame.to_parquet(file)
        else:
            separator = "\t" if way == "tsv" else way.partition(" ")[2] or ","
            encoding = way if way in ("latin-1", "utf-16") else "utf-8"
            frame.loc[len(frame)] = ["é", 1, 99, 1.0]  # é before a comma is not UTF-8; other latin-1 text may be by chance
            finite = np.isfinite(frame["test"])
            frame.to_csv(file, index=False, sep=separator, encoding=encoding, decimal="," if separator == ";" else ".")
        if not finite.any():
            return refused(str(file), "column test holds no number")
        runs = read_table(str(file), conditions=["ratio"])
    assert runs.arms == list(dict.fromkeys(frame["method"]))
    known = runs.table.iloc[: len(frame)]
    assert known["test"][finite].tolist() == frame["test"][finite].tolist()
    assert (known["state"] == np.where(finite, "done", "failed")).all()
    assert known["ratio"].tolist() == frame["ratio"].tolist() and known["seed"].tolist() == frame["seed"].tolist()
    assert (runs.table["state"][len(frame) :] == "missing").all()


def test_so_many_seeds_are_no_trainings(tmp_path):
    number = np.arange(2 * (REPLICATES + 1))
    frame = pd.DataFrame({"method": number % 2, "ratio": 1, "seed": number // 2, "test": number / 3})
    refused(written(tmp_path, frame.to_csv(index=False)), f"{REPLICATES + 1} seeds of one method under one condition")
    allowed = frame[frame["seed"] < REPLICATES]
    assert len(read_table(written(tmp_path, allowed.to_csv(index=False)), conditions=["ratio"]).table) == 2 * REPLICATES
