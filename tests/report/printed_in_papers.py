"""Every number that the four papers' tables print, typed from the papers. Nothing here comes from the studies that the tests check.

A line is `row: number number ...`, with `-` where the paper's table has no number.
"""

from typing import NamedTuple


class Typed(NamedTuple):
    """A printed number, and the trainings and the metric whose mean must stand beside it. `arm` is empty for other papers' numbers."""

    table: str
    row: str
    column: str
    number: str
    """as printed"""
    arm: str
    condition: dict[str, object]
    metric: str
    scale: float = 100


def read_lines(text: str) -> list[tuple[str, list[str | None]]]:
    lines = [line.strip().rpartition(": ") for line in text.strip().splitlines()]
    return [(name, [None if word == "-" else word for word in numbers.split()]) for name, _, numbers in lines]


TABLE_1 = """
50%: 70.7 67.6 .001
70%: 75.8 73.3 .007
90%: 77.0 74.9 .061
"""
RUNNERS_UP = {"50%": "SC(c+a)", "70%": "SC(c)", "90%": "SL(c)"}

TABLE_1A = """
AlexNet, other paper: 55.60 68.90
VGG-16, other paper: 58.22 70.53
DLP-CNN: 74.20 84.13
ResNet-18: - 80.00
FSM: 65.52 72.21
FSN: 72.46 81.10
AlexNet + PL: 61.8 73.5
AlexNet + PL + ALRAO: 66.5 73.5
AlexNet + ALT: 72.3 81.50
VGG-16 + PL: 74.6 83.25
VGG-16 + PL + ALRAO: 72.8 81.25
VGG-16 + ALT: 76.5 84.5
"""
TABLE_1B = """
AlexNet, other paper: - 61.1
AlexNet: 78.08 68.2
FSN: - 67.6
VGG, majority voting: 83.85 -
VGG, probability of labels: 84.99 -
FUS: 67.03 -
AlexNet + PL + Maj. vot: 80.05 69.12
AlexNet + PL + ALRAO: 80.6 68.65
AlexNet + ALT: 82.38 69.62
VGG-16 + PL: 84.35 69.27
VGG-16 + PL + ALRAO: 82.15 69.27
VGG-16 + ALT: 85.2 69.85
"""
TABLE_2 = """
Anxiety Recog.: 44.87 52.56 56.41 38.46 44.87 48.17
Overall Recog.: 70.53 73.5 80.08 75.87 83.21 84.55
"""
TABLE_3 = ["62.5", "83.50", "90.29", "99.29"]

RONNET = """
CK+: 99.612 - - 25.415
FER: - 61.884 - 23.754
Nova: - - 83.534 19.934
"""
GOOGLENET = """
CK+: 99.225 - - 13.123
FER: - 67.93 - 25.415
Nova: - - 84.342 9.136
"""

TABLE_I = {
    "AffectNet dimensional": """
VGG Full: 0.46 0.49 0.50 0.60
VGG LC: 0.35 0.48 0.40 0.58
VGG DL: 0.29 0.47 0.31 0.58
PK Full: 0.42 0.49 0.55 0.59
PK LC: 0.30 0.47 0.38 0.55
PK DL: 0.20 0.45 0.15 0.54
""",
    "AffectNet": """
VGG Full: 60.1 65.7
VGG LC: 50.3 63.4
VGG DL: 35.2 62.9
PK Full: 59.9 63.6
PK LC: 45.3 60.2
PK DL: 15.2 59.9
""",
    "FER2013": """
VGG Full: 72.5 76.1
VGG LC: 63.2 69.3
VGG DL: 55.3 68.2
PK Full: 70.1 75.4
PK LC: 59.2 70.1
PK DL: 28.2 70.2
""",
    "FER+": """
VGG Full: 91.7 94.5
VGG LC: 83.5 90.1
VGG DL: 72.3 89.3
PK Full: 88.9 93.2
PK LC: 81.1 89.4
PK DL: 69.3 90.1
""",
    "JAFFE": """
VGG Full: 92.1 93.4
VGG LC: 73.4 92.1
VGG DL: 69.3 91.5
PK Full: 83.3 85.2
PK LC: 92.1 80.3
PK DL: 27.8 79.8
""",
    "EmoReact": """
VGG Full: 0.7 0.73
VGG LC: 0.6 0.7
VGG DL: 0.58 0.69
PK Full: 0.74 0.76
PK LC: 0.63 0.72
PK DL: 0.26 0.69
""",
}
TABLE_II = {
    "AffectNet dimensional": """
AlexNet: 0.34 0.6
MobileNet: 0.48 0.57
VGG+GAN: 0.54 0.62
V CIAO: 0.50 0.60
V DL CIAO: 0.47 0.58
""",
    "AffectNet": """
PSR: 60.68
RAN: 59.5
ESR-9: 59.3
V CIAO: 65.7
V DL CIAO: 62.9
""",
    "FER2013": """
ResMaskNet: 76.8
Inception: 72.4
DeepEmotion: 70.0
V CIAO: 76.1
PK DL CIAO: 70.2
""",
    "FER+": """
PSR: 89.75
RAN: 89.16
SENet: 88.8
V CIAO: 94.5
PK DL CIAO: 90.1
""",
    "JAFFE": """
DeepEmotion: 92.2
SalientPatch: 91.8
V CIAO: 93.4
V DL CIAO: 91.5
""",
    "EmoReact": """
RBF-SVM: 0.69
SVM: 0.66
PK CIAO: 0.76
PK DL CIAO: 0.69
""",
}


def list_adults_as_augmentation() -> list[Typed]:
    rows = []
    for row, (best, runner_up, _) in read_lines(TABLE_1):
        place = {"split": int(row[:2]) / 100, "ratio": 20}
        assert best is not None and runner_up is not None
        rows.append(Typed("Table 1", row, "B. Acc.", best, "SC(c<-a)", place, "test/accuracy"))
        rows.append(Typed("Table 1", row, "R.U. acc.", runner_up, RUNNERS_UP[row], place, "test/accuracy"))
    return rows


def list_annealed_label_transfer() -> list[Typed]:
    arms = {"PL": "PL", "PL + Maj. vot": "PL", "PL + ALRAO": "PL+ALRAO", "ALT": "ALT"}
    rows = []
    for table, text, columns in (
        ("Table 1a, RAF-DB", TABLE_1A, {"Avg. Acc.": ("wild", "test/balanced_accuracy"), "Acc.": ("wild", "test/accuracy")}),
        ("Table 1b, FER+ and FER2013", TABLE_1B, {"FER+": ("webplus", "test/accuracy"), "FER2013": ("web", "test/accuracy")}),
    ):
        for row, numbers in read_lines(text):
            network, _, strategy = row.partition(" + ")
            arm = arms.get(strategy, "SL" if row == "AlexNet" else "")
            encoder = {"AlexNet": "alexnet", "VGG-16": "vgg16"}.get(network, "")
            for (column, (scenario, metric)), number in zip(columns.items(), numbers, strict=True):
                if number is not None:
                    rows.append(Typed(table, row, column, number, arm, {"scenario": scenario, "encoder": encoder}, metric))
    networks = [
        (f"{name} {label}", arm, encoder)
        for name, encoder in (("AlexNet", "alexnet"), ("VGG-16", "vgg16"))
        for label, arm in (("superv", "SL"), ("+ PL", "PL"), ("+ ALT", "ALT"))
    ]
    for row, numbers in read_lines(TABLE_2):
        metric = "recall of anxiety" if row == "Anxiety Recog." else "test/accuracy"
        for (column, arm, encoder), number in zip(networks, numbers, strict=True):
            assert number is not None
            rows.append(Typed("Table 2, anxiety", row, column, number, arm, {"scenario": "anxiety", "encoder": encoder}, metric))
    for (column, arm, encoder), number in zip([("SVM-based", "", ""), *networks[:3]], TABLE_3, strict=True):
        rows.append(
            Typed("Table 3, CAFE", "recognition rate", column, number, arm, {"scenario": "children", "encoder": encoder}, "test/accuracy")
        )
    return rows


def list_children_cnn() -> list[Typed]:
    arms = {"CK+": "adults(lab)", "FER": "adults(web)", "Nova": "adults(game)"}
    place = {"classes": 7, "colour": "rgb", "augment": "affine"}
    rows = [Typed("Transfer learning", "RonNet on CK+", "Children", "85.759", "transfer", {**place, "encoder": "ronnet"}, "test/accuracy")]
    for table, text in (("RonNet", RONNET), ("GoogLeNet", GOOGLENET)):
        for row, numbers in read_lines(text):
            for column, number in zip((*arms, "Children"), numbers, strict=True):
                if number is not None:
                    metric = "test/accuracy" if column == "Children" else "own/accuracy"
                    rows.append(Typed(table, row, column, number, arms[row], {**place, "encoder": table.lower()}, metric))
    return rows


def list_ciao() -> list[Typed]:
    coefficients = ("test/ccc_arousal", "test/ccc_valence")
    rows = []
    for data, text in TABLE_I.items():
        names = ("arousal ", "valence ") if data == "AffectNet dimensional" else ("",)
        columns = [f"{name}{how}" for name in names for how in ("without", "with CIAO")]
        scale = 1 if data in ("AffectNet dimensional", "EmoReact") else 100
        for row, numbers in read_lines(text):
            encoder, regime = row.split()
            for number, (column, value) in enumerate(zip(columns, numbers, strict=True)):
                metric = coefficients[number // 2] if len(names) == 2 else "test/score"
                arm, place = regime + "+CIAO" * (number % 2), {"data": data, "encoder": encoder}
                assert value is not None
                rows.append(Typed(f"Table I, {data}", row, column, value, arm, place, metric, scale))
    for data, text in TABLE_II.items():
        columns = ["A", "V"] if data == "AffectNet dimensional" else ["F1-Score"] if data == "EmoReact" else ["Acc"]
        scale = 1 if data in ("AffectNet dimensional", "EmoReact") else 100
        for row, numbers in read_lines(text):
            arm = ("DL+CIAO" if "DL" in row else "Full+CIAO") if "CIAO" in row else ""
            encoder = "VGG" if row.startswith("V ") else "PK"
            for column, value in zip(columns, numbers, strict=True):
                metric = {"A": coefficients[0], "V": coefficients[1]}.get(column, "test/score")
                assert value is not None
                rows.append(Typed(f"Table II, {data}", row, column, value, arm, {"data": data, "encoder": encoder}, metric, scale))
    return rows
