"""Does annealed randomness make pseudo-labels from another domain safe? (Florea, Florea, Badea, Vertan, Racoviteanu 2019)"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from search_spaces.annealed_label_transfer_readings import READINGS
from search_spaces.claims import Claim, Place, Published
from search_spaces.printed_numbers import Header, PrintedNumber, make_table
from search_spaces.search_space import Choice, Fixed, OneOf, Real, Search, Space
from search_spaces.space_tree import count_trials
from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EIGHT = (SEVEN[0], "contempt", *SEVEN[1:])

ARMS = {
    "SL": Arm("labelled", text="supervised learning on the labelled images alone"),
    "SL(gate)": Arm("labelled", {"with_gate": True}, text="the same, also on the labelled images that ALT holds out as its gate"),
    "PL": Arm("pseudo_label", text="also on the unlabelled pool, with the network's own answers as labels (pseudo-labels)"),
    "PL+ALRAO": Arm("pseudo_label_alrao", text="pseudo-labels with learning rates drawn at random (ALRAO)"),
    "ALT": Arm(
        "annealed_label_transfer",
        text="annealed label transfer: a step on pseudo-labels is kept if it lowers the loss on a gate of held-out labels by enough, "
        "with noise that is annealed",
    ),
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
    "wild": Source("faces", "adults/wild"),
    "web": Source("faces", "adults/game"),
    "webplus": Source("faces", "adults/game"),
    "anxiety": Source("faces", "adults/wild"),
    "children": Source("faces", "children"),
    "pool": Source("faces", "unlabelled", "adults"),
    "pool_lab": Source("faces", "clips"),
    "pool_children": Source("faces", "unlabelled", "children"),
}
PAPER_DATA = {
    "wild": "RAF-DB",
    "web": "FER2013",
    "webplus": "FER+",
    "anxiety": "the authors' own folder",
    "children": "CAFE",
    "pool": "images of MegaFace",
    "pool_lab": "LIRIS-CSE: videos of older children",
    "pool_children": "children of IMDB-WIKI (years=1-10)",
}

AVERAGE = "test/balanced_accuracy"
"""the paper's average accuracy: the mean of the confusion matrix's diagonal"""


def _make_network(name: str, encoder: str) -> dict[str, Header]:
    """Return the rows of a network by arm, as tables 1a and 1b name them."""
    place: Place = {"encoder": encoder}
    return {arm: Header(f"{name} + {arm.replace('+', ' + ')}", arm, place) for arm in ("PL", "PL+ALRAO", "ALT")}


_ALEXNET, _VGG = _make_network("AlexNet", "alexnet"), _make_network("VGG-16", "vgg16")
_SUPERVISED = Header("AlexNet", "SL", {"encoder": "alexnet"})
PRINTED = (
    make_table(
        "Table 1a, RAF-DB",
        (Header("Avg. Acc.", metric=AVERAGE, condition={"scenario": "wild"}), Header("Acc.", condition={"scenario": "wild"})),
        (
            (Header("AlexNet, other paper", None), "55.60 68.90"),
            (Header("VGG-16, other paper", None), "58.22 70.53"),
            (Header("DLP-CNN", None), "74.20 84.13"),
            (Header("ResNet-18", None), "- 80.00"),
            (Header("FSM", None), "65.52 72.21"),
            (Header("FSN", None), "72.46 81.10"),
            (_ALEXNET["PL"], "61.8 73.5"),
            (_ALEXNET["PL+ALRAO"], "66.5 73.5"),
            (_ALEXNET["ALT"], "72.3 81.50"),
            (_VGG["PL"], "74.6 83.25"),
            (_VGG["PL+ALRAO"], "72.8 81.25"),
            (_VGG["ALT"], "76.5 84.5"),
        ),
    ),
    make_table(
        "Table 1b, FER+ and FER2013",
        (Header("FER+", condition={"scenario": "webplus"}), Header("FER2013", condition={"scenario": "web"})),
        (
            (Header("AlexNet, other paper", None), "- 61.1"),
            (_SUPERVISED, "78.08 68.2"),
            (Header("FSN", None), "- 67.6"),
            (Header("VGG, majority voting", None), "83.85 -"),
            (Header("VGG, probability of labels", None), "84.99 -"),
            (Header("FUS", None), "67.03 -"),
            (replace(_ALEXNET["PL"], name="AlexNet + PL + Maj. vot"), "80.05 69.12"),
            (_ALEXNET["PL+ALRAO"], "80.6 68.65"),
            (_ALEXNET["ALT"], "82.38 69.62"),
            (_VGG["PL"], "84.35 69.27"),
            (_VGG["PL+ALRAO"], "82.15 69.27"),
            (_VGG["ALT"], "85.2 69.85"),
        ),
    ),
    make_table(
        "Table 2, anxiety",
        tuple(
            Header(f"{name} {'superv' if arm == 'SL' else '+ ' + arm}", arm, {"encoder": encoder, "scenario": "anxiety"})
            for name, encoder in (("AlexNet", "alexnet"), ("VGG-16", "vgg16"))
            for arm in ("SL", "PL", "ALT")
        ),
        (
            (Header("Anxiety Recog.", metric="recall/anxiety"), "44.87 52.56 56.41 38.46 44.87 48.17"),
            (Header("Overall Recog."), "70.53 73.5 80.08 75.87 83.21 84.55"),
        ),
    ),
    make_table(
        "Table 3, CAFE",
        (
            Header("SVM-based", None),
            *(
                Header(f"AlexNet {'superv' if arm == 'SL' else '+ ' + arm}", arm, {"encoder": "alexnet", "scenario": "children"})
                for arm in ("SL", "PL", "ALT")
            ),
        ),
        ((Header("recognition rate"), "62.5 83.50 90.29 99.29"),),
        notes={("recognition rate", "SVM-based"): "inferred from a plot, with a random split that shares persons"},
    ),
)
"""accuracies as printed, from one training each, so without a spread"""


def _list_rankings() -> Iterator[Published]:
    """Yield best and runner-up of each scenario and network by printed accuracy."""
    rows: dict[tuple[Any, ...], list[PrintedNumber]] = {}
    for number in (number for table in PRINTED for number in table.numbers):
        if number.arm and not number.metric:
            rows.setdefault((number.condition["scenario"], number.condition["encoder"]), []).append(number)
    for (scenario, encoder), numbers in rows.items():
        best, runner_up = sorted(numbers, key=lambda number: -number.number)[:2]  # stable sort: of equal scores the first printed
        place = {"scenario": scenario, "encoder": encoder}
        yield Published(place, str(best.arm), best.number, str(runner_up.arm), runner_up.number)


def _claim_better(text: str, better: str, worse: str) -> Claim:
    return Claim(text, {"method": better}, {"method": worse})


CLAIMS = (
    _claim_better("annealed label transfer beats pseudo-labels", "ALT", "PL"),
    _claim_better("it beats random learning rates", "ALT", "PL+ALRAO"),
    _claim_better("it beats learning from the labelled images alone", "ALT", "SL"),
    _claim_better("pseudo-labels beat learning from the labelled images alone", "PL", "SL"),
    _claim_better("ours: it beats using the gate's labels for training", "ALT", "SL(gate)"),
)


SEEDS = 12
"""seeds of the paper scale: the fewest with which the exact sign-flip test of one condition can reach .05 after Holm's adjustment over 24
conditions and four arms that could win against SL (2 / 2^12 x 96 = .047). The paper has one training of each network"""


_RATE: Space = {"lr": Real(1e-4, 0.5, log=True)}
_WEIGHT: Space = {"weight": Real(0.1, 10, log=True)}
_SUM_OR_MEAN = OneOf(("sum", "mean"))
SPACES: dict[str, Space] = {
    "ALT": {
        **_RATE,
        "margin": Choice({"none": {"slope": Fixed(0.0)}, "annealed": {"slope": Real(1e-4, 2, log=True), "gate_loss": _SUM_OR_MEAN}}, False),
        "temperature": Real(0.01, 1, log=True),
        "cooling": Real(0.5, 1),
        "noise": OneOf(("scale", "literal", "logits")),
    },
    "SL": _RATE,
    "SL(gate)": _RATE,
    "PL": {**_RATE, **_WEIGHT},
    "PL+ALRAO": {"rates.1": Real(1e-6, 0.1, log=True), "rates.2": Real(0.2, 100, log=True), **_WEIGHT},
}
"""what is searched of each strategy. The paper's own values lie within; it states neither how they were found nor what else was tried.
Without a margin, sum and mean of the gate's loss decide alike"""
SEARCHES = tuple(Search(arm, space, trials=count_trials(SPACES["ALT"])) for arm, space in SPACES.items())
"""of equal budgets: a tuned strategy is compared with tuned ones"""

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

    Paper scale: the published scenarios, networks and settings, twelve seeds. Pocket scale: every scenario on rendered faces, minutes on
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
            "seed": tuple(range(SEEDS)),
        },
        arms=ARMS,
        task="transfer",
        roles=ROLES,
        paper_data=PAPER_DATA,
        minutes=10,
        meanings={"scenario": SCENARIOS},
        largest="encoder",
        baseline="SL",
        published=tuple(_list_rankings()),
        printed=PRINTED,
        claims=CLAIMS,
        readings=READINGS,
        searches=SEARCHES,
    )
    if scale == "paper":
        return paper
    return replace(
        paper,
        scale="pocket",
        axes=paper.axes | {"encoder": ("pocket",), "seed": tuple(range(3))},
        settings=POCKET,
    )
