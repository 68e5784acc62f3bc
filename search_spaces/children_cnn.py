"""Which network and training route read children's faces best: adults only, transfer, children only? (Goghberg, Elimelech, Hait 2019)"""

from dataclasses import replace
from typing import Any

from search_spaces.claims import Claim, Confusion, Published, ReportedScore
from search_spaces.pictures import Pictures
from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
FIVE = ("anger", "fear", "happiness", "neutral", "sadness")
"""the paper's second experiment, without disgust and surprise"""

ARMS = {
    "adults(lab)": Arm("from_scratch", {"train": ("lab",)}),
    "adults(web)": Arm("from_scratch", {"train": ("web",)}),
    "adults(game)": Arm("from_scratch", {"train": ("game",)}),
    "transfer": Arm("frozen", parent="adults(lab)"),
    "children": Arm("from_scratch"),
}

CHILDREN = Source("faces", population="children")
ROLES = {
    "lab": Source("faces", "adults/posed"),  # in the paper: CK+
    "web": Source("faces", "adults/wild"),  # FER2013
    "game": Source("faces", "adults/game"),  # NovaEmotions
    "children": CHILDREN,  # one of ENIC, CAFE, DDCF and RaFD; the others have the roles below, with --set "test=[children, children_2]"
    "children_2": CHILDREN,
    "children_3": CHILDREN,
    "children_4": CHILDREN,
}

TABLES: dict[str, dict[str, tuple[float, float]]] = {
    "ronnet": {"adults(lab)": (99.612, 25.415), "adults(web)": (61.884, 23.754), "adults(game)": (83.534, 19.934)},
    "googlenet": {"adults(lab)": (99.225, 13.123), "adults(web)": (67.93, 25.415), "adults(game)": (84.342, 9.136)},
}
"""accuracy as printed, by network and training data: on the data's own test images, on children's"""
TRANSFER = 85.759
"""RonNet's accuracy on children. 25.415 and the like are multiples of 1/602, this is not: the paper used another test set here"""


def _make_place(encoder: str) -> dict[str, Any]:
    return {"encoder": encoder, "classes": 7, "augment": "affine"}


PRINTED = (
    *(
        ReportedScore(_make_place(encoder), arm, score, on)
        for encoder, rows in TABLES.items()
        for arm, scores in rows.items()
        for on, score in zip(("own", "test"), scores, strict=True)
    ),
    ReportedScore(_make_place("ronnet"), "transfer", TRANSFER),
)

CLAIMS = (
    Claim("children only is above transfer", {"method": "children"}, {"method": "transfer"}),
    Claim("transfer is above adults only", {"method": "transfer"}, {"method": "adults(lab)"}),
    Claim("children only is above adults only", {"method": "children"}, {"method": "adults(lab)"}),
    Claim("neither network is better", {"encoder": "ronnet"}, {"encoder": "googlenet"}, expect="equivalent"),
    Claim("colour changes nothing", {"colour": "grey"}, {"colour": "rgb"}, expect="equivalent"),
    Claim("flips and affine transforms help", {"augment": "affine"}, {"augment": "none"}),
)

PICTURES = Pictures(
    how="saliency",
    of="predicted",
    arms=("transfer",),
    condition={"encoder": "ronnet", "classes": 7, "colour": "rgb", "augment": "affine"},
)
"""the paper's network, in colour: the paper shows "gradients across RGB channels" and their maximum"""


@STUDIES.register("children_cnn")
def make_study(scale: Scale) -> Study:
    """Return the study at this scale.

    Paper scale: the published networks, training routes and ablations, five seeds. Pocket scale: all of it on rendered faces, minutes
    on two cores.
    """
    paper = Study(
        name="children_cnn",
        scale="paper",
        title="Convolutional networks for children's expressions",
        source="Goghberg, Elimelech, Hait 2019",
        axes={
            "method": tuple(ARMS),
            "encoder": ("pocket", "ronnet", "googlenet"),
            "classes": (7, 5),
            "colour": ("grey", "rgb"),
            "augment": ("affine", "none"),
            "seed": tuple(range(5)),
        },
        arms=ARMS,
        task="populations",
        roles=ROLES,
        meanings={
            "classes": {7: {"classes": SEVEN}, 5: {"classes": FIVE}},
            "colour": {"grey": {"grey": True}, "rgb": {"grey": False}},
        },
        largest="classes",
        published=(Published(_make_place("ronnet"), "transfer", TRANSFER, "adults(lab)", TABLES["ronnet"]["adults(lab)"][1]),),
        claims=CLAIMS,
        one_validation=False,  # arms that train on adults only are validated on adults
        printed=PRINTED,
        confusions=(Confusion("fear", "surprise"), Confusion("disgust", "anger")),
        fewer="classes",
        pictures=PICTURES,
    )
    if scale == "paper":
        return paper
    return replace(
        paper,
        scale="pocket",
        axes=paper.axes | {"encoder": ("pocket",), "seed": tuple(range(3))},
        settings={"size": 48, "epochs": 24, "lr": 3e-3, "test_share": 0.25},
    )
