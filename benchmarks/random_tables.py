"""Draws random tables of results, as people and programs might write them, for benchmarks/fuzz_tables.py and for tests."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

NAMES = (
    *("SL(c)", "SC(c<-a)", "plain", "A", "B", "1", "0.5", "-7", "nan", "None", "true", "", "x" * 300),
    *("=1+1", "+x", "-y", "@SUM(A1)", "'=q", "[x]", "*", "[2cm] x", "\\input{x}", "$x_1^2$", "{{ 7 * 7 }}", "<b>&amp;", "100 %"),
    *("a,b", "a;b", "a\tb", "a\nb", "a\rb", "a|b", "a\u2028b", "\x7f", "\u202eabc", 'say "x"', "größer", "à plat", "表", "🙂", "ﬁ"),
    *("..", "/", "'", '"', "#", "~", "&", "%", "_", "^"),
)
CONDITIONS = ("fold", "split", "ratio_%", "=cond", "[x]", "a b", "n_train", "seed_of_data", "done", "median", "größe")
VALUES: tuple[list[Any], ...] = (
    [0.1, 0.5],
    [1, 2, 10],
    ["a", "b"],
    [1, "b", "[x]"],
    ["=1", "-5"],
    [5],
    ["1.5", "1.50", "v"],
    [1e300, -1e-300],
)
METRICS = ("test", "test/accuracy", "loss", "=metric", "[score]", "F1 score")
SPECIAL = (0.0, -0.0, 0.5, 0.5 + 2**-53, 1.0, -1.0, 1e6, 1e9, 1e160, -1e160, 1e300, -1e300, 1e-300, 5e-324, 1e308, np.inf, -np.inf)


@dataclass
class RandomTable:
    """A table file, as its name and content, and the options of `read_table` for it."""

    name: str
    content: bytes
    options: dict[str, Any] = field(default_factory=dict)


def draw_table(rng: np.random.Generator) -> RandomTable:
    """Return a random table. Most tables are valid; some contain rows or values that `read_table` must refuse."""

    def happens(probability: float) -> bool:
        return bool(rng.random() < probability)

    metric = METRICS[0] if happens(0.5) else str(rng.choice(METRICS))
    conditions = rng.choice(CONDITIONS, rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]), replace=False).tolist()
    frame = _draw_grid(rng, _draw_methods(rng), conditions)
    frame[metric] = _draw_scores(rng, frame)
    if happens(0.5):
        frame[metric.replace("test", "val") if metric.startswith("test") else "val"] = _draw_scores(rng, frame)
    if happens(0.2):
        frame["test/balanced_accuracy"] = _draw_scores(rng, frame)
    if happens(0.5):
        frame["split_hash"] = _draw_splits(rng, frame[[*conditions, "seed"] if happens(0.8) else ["seed"]])
    for name, most in (("n_train", 5000), ("n_test", 500)):
        if name not in frame and happens(0.3):
            frame[name] = rng.integers(0 if happens(0.1) else 1, most, len(frame)) if happens(0.5) else int(rng.integers(-1, most))
    if happens(0.2):
        frame["state"] = rng.choice(["done", "failed", "missing", "crashed", ""], len(frame), p=[0.8, 0.1, 0.05, 0.03, 0.02])
        frame["reason"] = rng.choice(["", "=BOOM()", "out of memory", "[x]"], len(frame))
    frame = _spoil_rows(rng, frame)
    options: dict[str, Any] = {"metric": metric, "conditions": conditions, "higher_is_better": happens(0.7)}
    options["rope"] = [None, 0.01, 1e-300, 1e300, 0.5][rng.choice(5, p=[0.4, 0.4, 0.05, 0.05, 0.1])]
    if happens(0.3) and len(frame):
        options["baseline"] = str(frame["method"].iloc[0]).strip()
    if happens(0.1):
        options["conditions"] = conditions[:-1] if happens(0.5) else conditions[::-1]
    return RandomTable(*_encode_frame(rng, frame), options)


def _draw_methods(rng: np.random.Generator) -> list[str]:
    number = int(rng.choice([1, 2, 3, 4, 7, 24], p=[0.05, 0.3, 0.3, 0.2, 0.12, 0.03]))
    if rng.random() < 0.5:
        return [f"M{index}" for index in range(number)]
    return [str(name) for name in rng.choice(NAMES, number, replace=False)]


def _draw_grid(rng: np.random.Generator, methods: list[str], conditions: list[str]) -> pd.DataFrame:
    """Return one row per training: method, conditions and seed."""
    frame = pd.DataFrame({"method": methods})
    for name in conditions:
        values = [100, 2000] if name == "n_train" else VALUES[rng.integers(len(VALUES))]
        frame = frame.merge(pd.DataFrame({name: pd.Series(values, dtype=object)}), how="cross")
    number = int(rng.choice([1, 2, 3, 5, 8, 12, 40], p=[0.08, 0.15, 0.25, 0.25, 0.15, 0.1, 0.02]))
    number = number if len(frame) <= 40 else min(number, 5)
    form = str(rng.choice(["{}", "s{}", "{}.5"], p=[0.8, 0.1, 0.1]))
    frame = frame.merge(pd.DataFrame({"seed": [form.format(seed) for seed in range(number)]}), how="cross")
    return frame.assign(seed=np.arange(len(frame))) if rng.random() < 0.1 else frame  # each training may have a seed of its own


def _draw_scores(rng: np.random.Generator, frame: pd.DataFrame) -> np.ndarray:
    """Return scores of one of several distributions, some of them missing, and sometimes one that has diverged."""
    n = len(frame)
    effect = pd.factorize(frame["method"])[0] * float(rng.choice([0, 0.01, 1]))
    draws = [
        lambda: rng.normal(0.6, 0.02, n) + effect,
        lambda: rng.binomial(150, np.clip(0.6 + effect / 10, 0, 1), n) / 150,
        lambda: np.full(n, float(rng.choice(SPECIAL[:12]))),
        lambda: rng.choice([0.5, 0.5 + 2**-53, 0.25], n),
        lambda: rng.choice(SPECIAL, n),
        lambda: rng.standard_t(2, n) * float(rng.choice([1, 1e-300, 1e150, 1e290])),
        lambda: np.round(rng.normal(0, 3, n)),
        lambda: rng.normal(1e6, 1e-3, n),
    ]
    scores = np.asarray(draws[rng.choice(len(draws), p=[0.35, 0.2, 0.05, 0.1, 0.05, 0.1, 0.1, 0.05])](), dtype=float)
    if rng.random() < 0.2:
        scores[rng.integers(n)] = float(rng.choice([1e9, -1e300, 1e160, 1e3, np.inf]))
    return np.where(rng.random(n) < rng.choice([0, 0, 0.1, 0.5]), np.nan, scores)


def _draw_splits(rng: np.random.Generator, places: pd.DataFrame) -> list[str]:
    """Return hashes of data splits. Under a condition, all methods share a seed's split, or most of them, or none."""
    own = float(rng.choice([0, 0.1, 1]))
    names = ["/".join(map(str, place)) for place in places.itertuples(index=False)]
    return [f"own {row}" if rng.random() < own else f"split {name}" for row, name in enumerate(names)]


def _spoil_rows(rng: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with random defects: rows dropped, shuffled, duplicated or contradicted, or one cell replaced."""
    if rng.random() < 0.4:
        frame = frame[rng.random(len(frame)) > float(rng.choice([0.05, 0.3, 0.7]))]
    if rng.random() < 0.2:
        frame = frame.sample(frac=1, random_state=int(rng.integers(2**31)))
    if rng.random() < 0.05 and len(frame):
        twice = frame.sample(1, random_state=int(rng.integers(2**31)))
        frame = pd.concat([frame, twice if rng.random() < 0.5 else twice.assign(**{frame.columns[-1]: 0})])
    if rng.random() < 0.03 and len(frame):
        frame = frame.astype(object)
        frame.iloc[rng.integers(len(frame)), rng.integers(frame.shape[1])] = rng.choice(["", "x", "1,5", "true", "nan"])
    return frame.reset_index(drop=True)


def _encode_frame(rng: np.random.Generator, frame: pd.DataFrame) -> tuple[str, bytes]:
    """Return a file's name and content: CSV with a comma, a semicolon (decimal commas, mostly) or tabs, or parquet."""
    kind = rng.choice(["csv", "semicolon", "tsv", "parquet", "utf-16"], p=[0.6, 0.15, 0.1, 0.1, 0.05])
    if kind == "parquet":
        buffer = io.BytesIO()
        texts = [name for name in frame if frame[name].dtype == object]  # of mixed types, which parquet has not
        frame.astype(dict.fromkeys(texts, str)).to_parquet(buffer)
        return "any.parquet", buffer.getvalue()
    separator = {"semicolon": ";", "tsv": "\t"}.get(kind, ",")
    text = frame.to_csv(index=False, sep=separator, decimal="," if kind == "semicolon" and rng.random() < 0.7 else ".")
    return ("any.tsv" if kind == "tsv" else "any.csv"), text.encode("utf-16" if kind == "utf-16" else "utf-8")
