"""Reads any tidy table as Runs, one row per training, so that results from elsewhere get the same report.

Errors name the row that cannot be trusted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platform.report.runs_table import Design, Runs
from platform.stats.power import FEWEST
from trainables.data.table_file import FEW, TableFile, make_name_error, open_table

METHOD, SEED, STUDY = "method", "seed", "study"
RESERVED = (METHOD, SEED, STUDY, "state", "reason", "split_hash")
COUNTS = ("n_train", "n_test")
SECONDARY = "test/balanced_accuracy"
MOST = 1_000_000
"""the most missing trainings that are listed"""
LARGEST = 1e300
"""the largest size of a score that is read: sums of much larger ones overflow"""
REPLICATES = 2000
"""The maximum number of seeds of a method under a condition. The time and memory of the exact tests grow with it."""


def read_table(
    path: str,
    metric: str = "test",
    conditions: Sequence[str] = (),
    baseline: str | None = None,
    higher_is_better: bool = True,
    rope: float | None = None,
) -> Runs:
    """Return the trainings of a .csv, .tsv or .parquet file.

    Raises BadRequest, one line with file, row and column, for content that cannot be trusted.

    Column `method` is compared, `seed` is replicated. The metric is the column that `metric` names, or else `{metric}/accuracy`.
    Optional columns are `study` (several: the first condition; one: the title), `state` and `reason`, `split_hash`, `n_train`, `n_test`,
    `test/balanced_accuracy` as the secondary metric, and the selector. The selector is the metric's own counterpart (test/loss: val/loss),
    `val`, or, if higher is better, `val/accuracy`. Other columns are not read. A score that is infinite or no number is a failed training.

    In text files an apostrophe before what a spreadsheet would compute (`'=1+1`), as the report's own files have it, is no part of a name.

    Rows count as in a spreadsheet, where the header is row 1 (in parquet too). If quoted line breaks put the row on another line in an
    editor, that line is given besides. Rows without any value are ignored. `_add_missing_rows` says which trainings are missing.
    """
    file = open_table(path)
    names, conditions = file.column_names, list(dict.fromkeys(conditions))
    for name, role in ((METHOD, "what is compared"), (SEED, "the replicates")):
        if name not in names:
            raise file.make_column_error(name, f"call the column of {role} {name}")
    score = next((name for name in (metric, f"{metric}/accuracy") if name in names), None)
    if score is None or score in RESERVED:
        raise file.make_column_error(metric, "name the column of the numbers: --metric NAME")
    selectors = [score.replace("test", "val", 1), "val", *(["val/accuracy"] if higher_is_better else [])]
    selector = next((name for name in selectors if name in names and name != score), "")
    for name in conditions:
        if name not in names:
            raise file.make_error(make_name_error("condition", name, names))
        if name in {*RESERVED, score, selector, SECONDARY} - {STUDY}:
            raise file.make_error(f"column {name} cannot be a condition, because it has another role; remove it from --condition")
    notes = list(file.notes)
    for name in sorted({*RESERVED, *COUNTS, "val"} - {*names}):
        notes += [f"column {other} is not read; if it is the {name}, call it {name}" for other in names if other.lower() == name]

    studies = (
        file.read_text_column(STUDY).unique().tolist() if STUDY in names and (file.frame[STUDY].astype(str).fillna("") != "").any() else []
    )
    conditions = [*([STUDY] if len(studies) > 1 else []), *(name for name in conditions if name != STUDY)]
    columns: dict[str, Any] = {METHOD: file.read_text_column(METHOD)}
    columns |= {name: file.read_text_column(name) if name == STUDY else file.read_value_column(name) for name in conditions}
    columns[SEED] = file.read_value_column(SEED, mixed=True)
    numbers = {name: file.read_number_column(name) for name in (score, selector, SECONDARY, *COUNTS) if name in names}
    state, reason = _read_states(file, score, numbers[score])
    _check_sizes(file, numbers, (state == "done").to_numpy())
    numbers = {name: values for name, values in numbers.items() if name not in columns}
    for name in list(numbers):
        if name != score and not np.isfinite(numbers[name]).any():
            notes.append(f"column {name} holds no number: not used")
            del numbers[name]
    columns |= {"state": state, "reason": reason, "split_hash": file.read_text_column("split_hash", empty=True), **numbers}
    table = pd.DataFrame(columns, index=file.frame.index)

    identity = [METHOD, *conditions, SEED]
    table = _drop_duplicates(file, table, identity, conditions, notes)
    if failed := int((table["state"] == "failed").sum()):
        notes.append(f"{failed} of {len(table)} trainings failed or have no number: they count as failed")
    arms = table[METHOD].unique().tolist()
    if baseline is not None and baseline not in arms:
        raise file.make_error(make_name_error("baseline", baseline, arms))
    if len(arms) == 1:
        notes.append("one method only: no comparison is possible")
    if table[SEED].nunique() == 1:
        notes.append("one seed only: the standard deviation is unknown")
    elif table[table["state"] == "done"].groupby(METHOD)[SEED].nunique().max() < FEWEST:
        notes.append(f"no method has {FEWEST} seeds that are done: nothing is tested")
    sizes = table.groupby([METHOD, *conditions], sort=False).size()
    if (largest := int(sizes.max())) > REPLICATES:
        raise file.make_error(
            f"{largest} seeds of one method under one condition, more than {REPLICATES}; name conditions, or average first"
        )
    table = _add_missing_rows(table, conditions, notes)
    numeric = [name for name in conditions if table[name].nunique() > 1 and not isinstance(table[name].iloc[0], str)]
    design = Design(
        title=studies[0] if len(studies) == 1 else Path(path).stem,
        source=Path(path).name,
        compared=METHOD,
        replicated=SEED,
        conditions=tuple(conditions),
        along=numeric[-1] if numeric else None,
        metric=score,
        selector=selector if selector in numbers else None,
        secondary=SECONDARY if SECONDARY in numbers and score != SECONDARY else None,
        higher_is_better=higher_is_better,
        percent=False,
        rope=rope,
        baseline=baseline,
    )
    return Runs(design, table, notes)


def _read_states(file: TableFile, score: str, numbers: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """Return state and reason of each row. A row is done only if it has a number and a `state` column, if there is one, agrees."""
    given = file.read_text_column("state", empty=True)
    state = given.where(given.isin(["done", "missing"]), "failed") if "state" in file.frame else given.where(given != "", "done")
    if not (state == "done").any():
        states = ", ".join(given.unique().tolist()[:FEW])
        raise file.make_error(
            f"column state: no row is done (states: {states}); write done where a training ended well, or drop the column"
        )
    reason = file.read_text_column("reason", empty=True)
    reason = reason.where(reason != "", ("state " + given).where(given != "", "no state")).where(state != "done", "")
    no_number = (state == "done").to_numpy() & ~np.isfinite(numbers)
    if no_number.sum() == (state == "done").sum():
        raise file.make_error(f"column {score} holds no number; name the column of the numbers: --metric NAME")
    return state.mask(no_number, "failed"), reason.mask(no_number, f"no number in column {score}")


def _check_sizes(file: TableFile, numbers: dict[str, np.ndarray], is_done: np.ndarray) -> None:
    """Raise BadRequest for a score above LARGEST, and for a number of images that is no whole number above 0 where a training is done."""
    for name, values in numbers.items():
        bad, todo = np.isfinite(values) & (np.abs(values) > LARGEST), f"a score has a size of at most {LARGEST:g}"
        if name in COUNTS:
            is_count = np.isfinite(values) & (values >= 1) & (values == np.floor(values))
            bad, todo = is_done & ~np.isnan(values) & ~is_count, "a number of images is a whole number above 0"
        if bad.any():
            says = f"is {values[bad][0]:g}; {todo}; leave it empty where it is unknown"
            raise file.make_cell_error(file.frame.index[bad][0], name, says)


def _drop_duplicates(file: TableFile, table: pd.DataFrame, place: list[str], conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """Return the table with each training once.

    Raises BadRequest if two rows of one training differ, and names the columns that might tell them apart.
    """
    duplicates = table[table.duplicated(place, keep=False)]
    repeats = duplicates.duplicated([name for name in table if name != "reason"])
    if repeats.any():
        notes.append(f"{int(repeats.sum())} rows repeat another in all that is read: kept once")
        table, duplicates = table.drop(repeats.index[repeats]), duplicates[~repeats]
        duplicates = duplicates[duplicates.duplicated(place, keep=False)]
    if duplicates.empty:
        return table
    key = duplicates[place].iloc[0]
    first, second = duplicates.index[(duplicates[place] == key).all(axis=1)][:2]
    rows, trainings = file.frame.loc[duplicates.index], duplicates.groupby(place, sort=False).ngroup()
    limit = min(FEW, max(2, len(table) // 2))
    others = [name for name in file.column_names if name not in {*RESERVED, *table} and rows[name].dtype != object]
    columns = [name for name in others if 1 < rows[name].nunique() <= limit]

    def apart(names: list[str]) -> bool:
        return not rows[names].assign(**{METHOD: trainings}).duplicated().any()

    telling = columns if apart(columns) else []
    for name in sorted(reversed(telling), key=lambda name: -rows[name].nunique()):  # keep the fewest columns, each with the fewest values
        if apart(fewer := [other for other in telling if other != name]):
            telling = fewer
    hint = f"if another column tells them apart, name it: --condition {','.join([*conditions, *telling])}"
    todo = hint if telling else "keep one, or give each its seed"
    conflict = (
        f"rows {file.find_row(first)} and {file.find_row(second)} are both {', '.join(f'{name} {value}' for name, value in key.items())}"
    )
    raise file.make_error(f"{conflict}, with different numbers; {todo}")


def _add_missing_rows(table: pd.DataFrame, conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """Return the table with a row for each training that should be there and is not, study by study.

    Expected is every method under every condition seen, with every seed of a pool. A sample is a method under a condition. The pool is the
    study if its samples share most seeds, else the condition if its methods do, else the method if its conditions do. Otherwise nothing
    is expected, because seeds that are each training's own say nothing of what is absent. Samples of a pool share most seeds if more than
    half of the rows outside the largest sample have a seed of the largest. Nothing is expected either if it would exceed three times the
    table, or the table by a million rows: methods that each have their own conditions form no grid.
    """
    parts = [part for _, part in table.groupby(STUDY, sort=False)] if STUDY in conditions else [table]
    added = [_list_missing_rows(part, conditions, notes) for part in parts]
    if absent := sum(map(len, added)):
        notes.append(f"{absent} of {len(table) + absent} expected trainings are not in the table: they count as missing")
    return pd.concat([table, *(rows for rows in added if len(rows))], ignore_index=True)


def _list_missing_rows(part: pd.DataFrame, conditions: list[str], notes: list[str]) -> pd.DataFrame:
    """Return the missing rows of one study."""
    (arm, arms), (seed, seeds) = pd.factorize(part[METHOD]), pd.factorize(part[SEED])
    condition = part.groupby(conditions, sort=False).ngroup().to_numpy() if conditions else 0 * arm
    distinct = part[conditions].drop_duplicates() if conditions else part[[]].iloc[:1]
    rows = pd.DataFrame({"all": 0, "place": condition, "arm": arm, "seed": seed, "sample": arm * len(distinct) + condition})
    sizes = rows["sample"].value_counts()
    if sizes.min() < sizes.max():
        notes.append(f"unequal numbers of replicates: from {sizes.min()} to {sizes.max()} of a method under a condition")
    ranked = rows.assign(size=rows["sample"].map(sizes)).sort_values("size", ascending=False, kind="stable")
    for pool in ("all", "place", "arm"):
        largest = rows["sample"].isin(ranked.drop_duplicates(pool)["sample"])
        seen = rows[pool] * len(seeds) + rows["seed"]
        if seen[~largest].isin(seen[largest]).mean() > 0.5:
            break
    else:
        if len(sizes) > 1:
            notes.append("every method has seeds of its own: no training is expected besides those that are there")
        return part.iloc[:0]
    pool_seeds, n_samples = rows[[pool, "seed"]].drop_duplicates(), len(arms) * len(distinct)
    if len(pool_seeds) * n_samples // pool_seeds[pool].nunique() > min(3 * len(part), len(part) + MOST):
        notes.append("a full grid of methods, conditions and seeds would have over three times the rows: no training counts as missing")
        return part.iloc[:0]
    samples = pd.DataFrame({"all": 0, "sample": range(n_samples)}).assign(arm=lambda all: all["sample"] // len(distinct))
    expected = samples.assign(place=samples["sample"] % len(distinct)).merge(pool_seeds, on=pool)
    absent = expected[~(expected["sample"] * len(seeds) + expected["seed"]).isin(rows["sample"] * len(seeds) + rows["seed"])]
    result = distinct.take(absent["place"].to_numpy()).reset_index(drop=True)
    result[METHOD], result[SEED] = arms.take(absent["arm"].to_numpy()), seeds.take(absent["seed"].to_numpy())
    return result.assign(state="missing", reason="not in the table", split_hash="")
