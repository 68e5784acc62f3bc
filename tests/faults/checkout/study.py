"""A study of a healthy arm, a real arm of three phases, and an arm for each failure. A checkout has it as search_spaces/ordeal.py."""

from pathlib import Path

from search_spaces.study import STUDIES, Arm, Scale, Study
from trainables.data.source import Source

DATA = Path(__file__).resolve().parent.parent / "data"
ILL = ("segfault", "hang", "nan", "memory")


@STUDIES.register("ordeal")
def study(scale: Scale) -> Study:
    return Study(
        name="ordeal",
        scale=scale,
        title="An ordeal",
        source="the tests",
        axes={"method": ("well", "SC(c<-a)", *ILL), "seed": tuple(range(20))},
        arms={"well": Arm("ordeal"), "SC(c<-a)": Arm("supcon", {"domain": "c<-a"})} | {ill: Arm("ordeal", {"ill": ill}) for ill in ILL},
        task="balanced",
        roles={
            role: Source("fer2013", str(DATA / "fer2013.csv"), role, (("ages", str(DATA / "ages.csv")),)) for role in ("children", "adults")
        },
        settings={
            "encoder": "pocket",
            "classes": ["anger", "fear", "happiness"],
            "size": 32,
            "per_class": 8,
            "split": 0.5,
            "epochs": 10,
            "batch": 8,
            "ratio": 1,
            "hidden": 32,
            "projection": 16,
            "probe_epochs": 8,
            "precision": "fp32",
        },
    )
