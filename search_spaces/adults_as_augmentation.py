"""Do adults, used as augmentations, teach a network children's expressions? (Virgolin, De Lorenzo, Alderliesten, Bosman 2022)"""

from collections.abc import Iterator
from dataclasses import replace

from search_spaces.claims import FIRST, LAST, Claim, Place, Published, Reading
from search_spaces.pictures import Pictures
from search_spaces.printed_numbers import PrintedNumber, PrintedTable
from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

_METHODS = {
    "SL": ("supervised", "supervised learning (cross-entropy)"),
    "UC": ("simclr", "unsupervised contrastive learning (SimCLR: two views of an image attract each other), then a linear classifier,"),
    "SC": ("supcon", "supervised contrastive learning (SupCon: views with the same label attract each other), then a linear classifier,"),
}
_DOMAINS = {
    "c": "on children's images alone",
    "c+a": "on children's images and as many adults' images",
    "c<-a": "on children's images; the second view of each is an adult's image with the same label",
}
ARMS = {
    f"{name}({domain})": Arm(_METHODS[name][0], {"domain": domain}, text=f"{_METHODS[name][1]} {_DOMAINS[domain]}")
    for name, domain in (("SL", "c"), ("SL", "c+a"), ("UC", "c"), ("UC", "c+a"), ("SC", "c"), ("SC", "c+a"), ("SC", "c<-a"))
}

TABLE_1 = (
    Published({"split": 0.5}, "SC(c<-a)", 70.7, "SC(c+a)", 67.6, 0.001),
    Published({"split": 0.7}, "SC(c<-a)", 75.8, "SC(c)", 73.3, 0.007),
    Published({"split": 0.9}, "SC(c<-a)", 77.0, "SL(c)", 74.9, 0.061),
)


def _list_numbers_of_table_1() -> Iterator[PrintedNumber]:
    """Yield the numbers of table 1, which the paper has at ratio 20."""
    for row in TABLE_1:
        name, place = f"{row.condition['split']:.0%}", Place({**row.condition, "ratio": 20})
        yield PrintedNumber(name, "B. Acc.", f"{row.best_score:.1f}", row.best, place)
        yield PrintedNumber(name, "R.U. acc.", f"{row.runner_up_score:.1f}", row.runner_up, place)
        if row.p is not None:
            yield PrintedNumber(name, "p-val.", f"{row.p:.3f}".removeprefix("0"), row.best, place, against=row.runner_up, scale=1)


OTHERS = ("SL(c)", "SL(c+a)", "UC(c)", "UC(c+a)", "SC(c)", "SC(c+a)")

CLAIMS = (
    *(
        Claim(f"adults as augmentations beat {other}", {"method": "SC(c<-a)", "ratio": LAST}, {"method": other, "ratio": LAST})
        for other in OTHERS
    ),
    Claim("without labels the representation is poor: UC(c) is below SC(c)", {"method": "SC(c)"}, {"method": "UC(c)"}),
    Claim("UC(c+a) is below SC(c+a)", {"method": "SC(c+a)"}, {"method": "UC(c+a)"}),
    Claim("UC(c) is below SL(c)", {"method": "SL(c)"}, {"method": "UC(c)"}),
    Claim("UC(c+a) is below SL(c+a)", {"method": "SL(c+a)"}, {"method": "UC(c+a)"}),
    Claim("mixing adults in harms supervised learning", {"method": "SL(c)"}, {"method": "SL(c+a)"}),
    Claim("mixing adults in does nothing for SupCon", {"method": "SC(c+a)"}, {"method": "SC(c)"}, expect="equivalent"),
    Claim("a larger ratio helps", {"ratio": LAST}, {"ratio": FIRST}),
    Claim(
        "it helps more where training images are few",
        {"split": FIRST, "ratio": LAST},
        {"split": LAST, "ratio": LAST},
        {"split": FIRST, "ratio": FIRST},
        {"split": LAST, "ratio": FIRST},
    ),
    Claim("with diminishing returns: 1 to 5 gains more than 5 to 20", {"ratio": 5}, {"ratio": 20}, {"ratio": 1}, {"ratio": 5}),
    Claim(
        "diminishing returns are weaker with adults as augmentations than without adults (section 5)",
        {"method": "SC(c<-a)", "ratio": 20},
        {"method": "SC(c)", "ratio": 20},
        {"method": "SC(c<-a)", "ratio": 5},
        {"method": "SC(c)", "ratio": 5},
    ),
    *(
        Claim(
            f"at 90 % {method}'s validation drops at large ratios",
            {"method": method, "split": 0.9, "ratio": 5},
            {"method": method, "split": 0.9, "ratio": 20},
            on="validation",
        )
        for method in ("SC(c)", "SC(c+a)")
    ),
    Claim(
        "the lead of adults as augmentations over SC(c) shrinks where training images are many",
        {"method": "SC(c<-a)", "split": FIRST, "ratio": LAST},
        {"method": "SC(c<-a)", "split": LAST, "ratio": LAST},
        {"method": "SC(c)", "split": FIRST, "ratio": LAST},
        {"method": "SC(c)", "split": LAST, "ratio": LAST},
    ),
    *(
        Claim(
            f"the lead of adults as augmentations over {row.runner_up} is 2 to 3 points (rounded) at split {row.condition['split']}",
            {"method": row.best, "ratio": LAST, **row.condition},
            {"method": row.runner_up, "ratio": LAST, **row.condition},
            between=(0.015, 0.035),
        )
        for row in TABLE_1
    ),
)


READINGS = (
    Reading(
        "augmentation.scale",
        'Crops: the paper says "cropping of up to 20% of the image", after a recipe that crops to between 20 and 100 % of it.',
        {"[0.8, 1.0]": "the words: a crop keeps 80 to 100 % of the image's area", "[0.2, 1.0]": "the recipe's"},
    ),
    Reading(
        "budget",
        "Length: the paper trains every method for 250 epochs; an epoch of c+a has twice as many steps as one of c<-a.",
        {
            "epochs": "the words: as many passes over each method's own pool",
            "steps": "as many optimiser steps for every method, probes aside, the milestones of the learning rate stretched with them",
            "images": "as many augmented images for every method, probes aside",
        },
    ),
    Reading(
        "pool",
        "Augmentation ratio: the paper fixes the duration of training and varies the size of the training set by it.",
        {"fixed": "the words: all images are augmented before the training", "fresh": "the images are augmented again before every epoch"},
    ),
    Reading(
        "partners",
        'Adults: FER "is only used to supply random images of adults during training".',
        {"once": "drawn once for all epochs", "anew": "drawn anew for each epoch"},
    ),
    Reading(
        "probe_pool",
        "Linear layer: the paper trains it for 50 epochs and does not say on which crops.",
        {
            "fixed": "the first views of the pool, equally many for every method: the ratio is a fixed amount of data",
            "fresh": "crops drawn anew for each epoch, equally many for every method, as in the cited recipe",
        },
    ),
)


POCKET = {
    "encoder": "hog",
    "per_class": 120,
    "batch": 64,
    "budget": "steps",
    "steps": 320,
    "warm_up": 0.05,
    "temperature": 0.5,
    "hidden": 128,
    "projection": 64,
    "probe_lr": 0.05,
    "probe_batch": 256,
    "probe_steps": 200,
}
"""settings of the pocket scale, chosen by the mean validation accuracy of all methods on seeds that it does not use (see
benchmarks/RESULTS.md)"""


@STUDIES.register("adults_as_augmentation")
def make_study(scale: Scale) -> Study:
    """Return the study at this scale.

    Paper scale: the published grid and settings, 840 trainings on CAFE and FER2013. Pocket scale: the same on rendered faces, minutes
    on two cores.
    """
    paper = Study(
        name="adults_as_augmentation",
        scale="paper",
        title="Adults as augmentations for children",
        source="Virgolin, De Lorenzo, Alderliesten, Bosman 2022",
        axes={"method": tuple(ARMS), "split": (0.5, 0.7, 0.9), "ratio": (1, 5, 10, 20), "seed": tuple(range(10))},
        arms=ARMS,
        task="balanced",
        roles={"children": Source("faces", population="children"), "adults": Source("faces", population="adults")},
        paper_data={"children": "CAFE", "adults": "FER2013"},
        minutes=4,
        settings={"encoder": "resnet18", "encoder_settings": {"stem": "cifar"}},
        own=("faces", "cafe", "fer2013"),
        largest="ratio",
        published=TABLE_1,
        printed=(PrintedTable("Table 1", ("B. Acc.", "R.U. acc.", "p-val."), tuple(_list_numbers_of_table_1())),),
        claims=CLAIMS,
        readings=READINGS,
        pictures=Pictures(arms=("SC(c<-a)", "SC(c)"), condition={"split": 0.7, "ratio": 5}, images=3),  # figure 4
    )
    if scale == "paper":
        return paper
    return replace(
        paper,
        scale="pocket",
        axes=paper.axes | {"split": (0.5, 0.9), "ratio": (1, 5), "seed": tuple(range(10))},
        settings=POCKET,
    )
