"""A study of mixup against supervised learning with the toy network, on the rendered faces."""

from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source


@STUDIES.register("toy_study")
def make_study(scale: Scale) -> Study:
    return Study(
        name="toy_study",
        scale=scale,
        title="Toys",
        source="the tests",
        axes={"method": ("SL", "mixup"), "seed": (0, 1)},
        arms={"SL": Arm("supervised"), "mixup": Arm("toy_mixup", {"weight": 0.7})},
        task="balanced",
        roles={"children": Source("faces", "", "children")},
        settings={
            "encoder": "toy_network",
            "size": 32,
            "per_class": 8,
            "split": 0.5,
            "epochs": 2,
            "ratio": 1,
            "precision": "fp32",
            "partner": None,
        },
    )
