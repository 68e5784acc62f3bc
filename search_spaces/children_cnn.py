"""Which network and training route read children's faces best: adults only, transfer, children only? (Goghberg, Elimelech, Hait 2019)"""

from dataclasses import replace

from search_spaces.claims import Claim, Confusion, Place, Reading
from search_spaces.pictures import Pictures
from search_spaces.printed_numbers import Header, PrintedTable, make_table
from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
FIVE = ("anger", "fear", "happiness", "neutral", "sadness")
"""the paper's second experiment, without disgust and surprise"""

ARMS = {
    "adults(lab)": Arm("from_scratch", {"train": ("lab",)}, text="trained on adults posed in a laboratory, tested on children"),
    "adults(web)": Arm("from_scratch", {"train": ("web",)}, text="trained on adults' pictures from the web, tested on children"),
    "adults(game)": Arm("from_scratch", {"train": ("game",)}, text="trained on adults' pictures from a game, tested on children"),
    "transfer": Arm("frozen", parent="adults(lab)", text="starts from adults(lab); only the last layers are trained, on children"),
    "children": Arm("from_scratch", text="trained on children alone"),
}

ROLES = {
    "lab": Source("faces", "adults/posed"),
    "web": Source("faces", "adults/wild"),
    "game": Source("faces", "adults/game"),
    "children": Source("faces", population="children"),
}
PAPER_DATA = {"lab": "CK+", "web": "FER2013", "game": "NovaEmotions", "children": "the union of ENIC, CAFE, DDCF and RaFD's children"}

_ARMS = {"CK+": "adults(lab)", "FER": "adults(web)", "Nova": "adults(game)"}
"""by the paper's name of the data"""


def _make_network(name: str, encoder: str, *rows: str) -> PrintedTable:
    """Return a network's table: rows are the data that it was trained on, columns their own test images and children."""
    place: Place = {"encoder": encoder, "classes": 7, "colour": "rgb", "augment": "affine"}
    columns = (*(Header(data, "", place, "own/accuracy") for data in _ARMS), Header("Children", "", place))
    return make_table(name, columns, zip((Header(data, arm) for data, arm in _ARMS.items()), rows, strict=True))


PRINTED = (
    _make_network("RonNet", "ronnet", "99.612 - - 25.415", "- 61.884 - 23.754", "- - 83.534 19.934"),
    _make_network("GoogLeNet", "googlenet", "99.225 - - 13.123", "- 67.93 - 25.415", "- - 84.342 9.136"),
    make_table(
        "Transfer learning",
        (Header("Children", "", {"encoder": "ronnet", "classes": 7, "colour": "rgb", "augment": "affine"}),),
        ((Header("RonNet on CK+", "transfer"), "85.759"),),
        notes={("RonNet on CK+", "Children"): "of another test set: 25.415 and the like are multiples of 1/602, this is not"},
    ),
)
"""accuracy as printed. The paper's best network, trained on children only, has no printed number"""

CLAIMS = (
    Claim("children only is above transfer", {"method": "children"}, {"method": "transfer"}),
    Claim("transfer is above adults only", {"method": "transfer"}, {"method": "adults(lab)"}),
    Claim("children only is above adults only", {"method": "children"}, {"method": "adults(lab)"}),
    *(
        Claim(
            f"neither network is better on test images of {name}",
            {"method": arm, "encoder": "ronnet"},
            {"method": arm, "encoder": "googlenet"},
            expect="equivalent",
            on="own",
        )
        for name, arm in _ARMS.items()
    ),
    Claim("colour changes nothing", {"colour": "grey"}, {"colour": "rgb"}, expect="equivalent"),
    Claim("flips and affine transforms help", {"augment": "affine"}, {"augment": "none"}),
)

READINGS = (
    Reading("size", "Images: the paper does not state their size.", {"96": "96 x 96 pixels", "48": "48 x 48 pixels"}),
    Reading(
        "test_share",
        "Test images: the paper's accuracies are multiples of 1/602, of 6,395 images.",
        {
            "0.1": "a tenth, about as many; one split serves all arms",
            "0.25": "a quarter, as the rendered faces are few; one split serves all arms",
        },
    ),
    Reading("validation", "Validation: the paper names none.", {"0.1": "a tenth, on which the epoch is selected"}),
)

PICTURES = Pictures(
    how="saliency",
    of="predicted",
    arms=("transfer",),
    condition={"encoder": "ronnet", "classes": 7, "colour": "rgb", "augment": "affine"},
)
"""the paper's network, in colour: the paper shows "gradients across RGB channels" and their maximum"""


SEEDS = 10
"""seeds of the paper scale: the fewest with which the exact sign-flip test of one condition can reach .05 after Holm's adjustment over the
24 conditions of a claim (2 / 2^10 x 24 = .047). The paper has one training of each network"""


@STUDIES.register("children_cnn")
def make_study(scale: Scale) -> Study:
    """Return the study at this scale.

    Paper scale: the published networks, training routes and ablations, ten seeds. Pocket scale: all of it on rendered faces, minutes
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
            "seed": tuple(range(SEEDS)),
        },
        arms=ARMS,
        task="populations",
        roles=ROLES,
        paper_data=PAPER_DATA,
        minutes=9,
        meanings={
            "classes": {7: {"classes": SEVEN}, 5: {"classes": FIVE}},
            "colour": {"grey": {"grey": True}, "rgb": {"grey": False}},
        },
        largest="classes",
        claims=CLAIMS,
        readings=READINGS,
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
