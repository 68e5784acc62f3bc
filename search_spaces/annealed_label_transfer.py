"""Does annealed randomness make pseudo-labels from another domain safe? (Florea, Florea, Badea, Vertan, Racoviteanu 2019)"""

from dataclasses import replace
from typing import Any

from search_spaces.claims import Claim, Published
from search_spaces.search_space import OneOf, Real, Search
from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EIGHT = (SEVEN[0], "contempt", *SEVEN[1:])

ARMS = {
    "SL": Arm("labelled"),
    "SL(gate)": Arm("labelled", {"with_gate": True}),
    "PL": Arm("pseudo_label"),
    "PL+ALRAO": Arm("pseudo_label_alrao"),
    "ALT": Arm("annealed_label_transfer"),
}

SCENARIOS: dict[Any, dict[str, Any]] = {
    "wild": {"labelled": {"wild": SEVEN}, "pool": ("pool",)},
    "webplus": {"labelled": {"webplus": EIGHT}, "pool": ("pool",)},
    "web": {"labelled": {"web": SEVEN}, "pool": ("pool",)},
    "anxiety": {"labelled": {"wild": SEVEN, "anxiety": ("anxiety",)}, "pool": ("pool",)},
    "children": {"labelled": {"children": SEVEN}, "extra": {"webplus": SEVEN}, "pool": ("pool_lab", "pool_children")},
    "to_children": {"labelled": {"wild": SEVEN}, "target": {"children": SEVEN}, "pool": ()},
}
"""sections 4.1 (RAF-DB; FER+; FER2013), 4.2 (RAF-DB and a folder of anxiety) and 4.3 (CAFE, besides FER+ without contempt) of the
paper; and our own, of which the paper's title speaks: labels of adults only, children without labels, tested on other children"""

ROLES = {
    "wild": Source("faces", "adults/wild"),  # in the paper: RAF-DB
    "web": Source("faces", "adults/game"),  # FER2013
    "webplus": Source("faces", "adults/game"),  # FER+
    "anxiety": Source("faces", "adults/wild"),  # the authors' own folder
    "children": Source("faces", "children"),  # CAFE
    "pool": Source("faces", "unlabelled", "adults"),  # from MegaFace
    "pool_lab": Source("faces", "clips"),  # LIRIS: videos of older children
    "pool_children": Source("faces", "unlabelled", "children"),  # children of IMDB-WIKI, of 10 or under: oldest=10
}

TABLES: dict[tuple[str, str], dict[str, float]] = {
    ("wild", "alexnet"): {"PL": 73.5, "PL+ALRAO": 73.5, "ALT": 81.5},  # table 1a; supervised results of other papers: 68.90 and 70.53
    ("wild", "vgg16"): {"PL": 83.25, "PL+ALRAO": 81.25, "ALT": 84.5},
    ("webplus", "alexnet"): {"SL": 78.08, "PL": 80.05, "PL+ALRAO": 80.6, "ALT": 82.38},  # table 1b
    ("webplus", "vgg16"): {"PL": 84.35, "PL+ALRAO": 82.15, "ALT": 85.2},
    ("web", "alexnet"): {"SL": 68.2, "PL": 69.12, "PL+ALRAO": 68.65, "ALT": 69.62},
    ("web", "vgg16"): {"PL": 69.27, "PL+ALRAO": 69.27, "ALT": 69.85},
    ("anxiety", "alexnet"): {"SL": 70.53, "PL": 73.5, "ALT": 80.08},  # table 2, overall
    ("anxiety", "vgg16"): {"SL": 75.87, "PL": 83.21, "ALT": 84.55},
    ("children", "alexnet"): {"SL": 83.5, "PL": 90.29, "ALT": 99.29},  # table 3
}
"""accuracy as printed, by scenario and network; from one training each, so without a spread"""


def _make_ranking_claim(place: tuple[str, str], row: dict[str, float]) -> Published:
    best, runner_up = sorted(row, key=lambda arm: -row[arm])[:2]  # stable sort: of equal scores the first printed
    condition: dict[str, Any] = dict(zip(("scenario", "encoder"), place, strict=True))
    return Published(condition, best, row[best], runner_up, row[runner_up])


def _claim_better(text: str, better: str, worse: str) -> Claim:
    return Claim(text, {"method": better}, {"method": worse})


CLAIMS = (
    _claim_better("annealed label transfer beats pseudo-labels", "ALT", "PL"),
    _claim_better("it beats random learning rates", "ALT", "PL+ALRAO"),
    _claim_better("it beats learning from the labelled images alone", "ALT", "SL"),
    _claim_better("pseudo-labels beat learning from the labelled images alone", "PL", "SL"),
    _claim_better("ours: it beats using the gate's labels for training", "ALT", "SL(gate)"),
)


SEARCH = Search(
    arm="ALT",
    space={
        "temperature": Real(0.01, 1, log=True),
        "cooling": Real(0.5, 1),
        "slope": Real(0, 2),
        "noise": OneOf(("scale", "literal", "logits")),
    },
)
"""the paper's own values, .2, .75, .75, lie within; the paper states neither how they were found nor what else was tried"""

POCKET: dict[str, Any] = {
    **{"size": 48, "colour": "grey", "validation": 0.2, "extra_images": 300},
    **{"batch": 32, "epochs": 30, "lr": 0.06},
    "weight": 1.0,  # in so short a training pseudo-labels are never good enough to outweigh labels three to one
    "rates": (0.01, 10.0),  # so short a training has too few steps for rates of 1e-5
}
"""settings of the pocket scale"""


@STUDIES.register("annealed_label_transfer")
def make_study(scale: Scale) -> Study:
    """Return the study at this scale.

    Paper scale: the published scenarios, networks and settings, five seeds. Pocket scale: every scenario on rendered faces, minutes on
    two cores.
    """
    paper = Study(
        name="annealed_label_transfer",
        scale="paper",
        title="Annealed label transfer",
        source="Florea, Florea, Badea, Vertan, Racoviteanu 2019",
        axes={
            "method": tuple(ARMS),
            "encoder": ("pocket", "resnet18", "alexnet", "vgg16"),  # the paper has the last two
            "scenario": tuple(SCENARIOS),
            "seed": tuple(range(5)),
        },
        arms=ARMS,
        task="transfer",
        roles=ROLES,
        meanings={"scenario": SCENARIOS},
        largest="encoder",
        baseline="SL",
        published=tuple(_make_ranking_claim(point, row) for point, row in TABLES.items()),
        claims=CLAIMS,
        search=SEARCH,
    )
    if scale == "paper":
        return paper
    return replace(
        paper,
        scale="pocket",
        axes=paper.axes | {"encoder": ("pocket",), "seed": tuple(range(3))},
        settings=POCKET,
    )
