"""Which part of annealed label transfer has the effect: the strictness of its gate, what the gate measures, or the reading of its noise?"""

from dataclasses import replace

from search_spaces.annealed_label_transfer import PAPER_DATA, POCKET, ROLES, SCENARIOS
from search_spaces.annealed_label_transfer_readings import READINGS
from search_spaces.study import STUDIES, Arm, Scale, Study

_READ = {0.75: "as printed", 0.075: "a tenth of the printed one", 0.0: "none: the gate accepts any step that lowers its loss"}
SLOPES = {f"{slope:g}": Arm("annealed_label_transfer", {"slope": slope}, text=f"slope of beta, {read}") for slope, read in _READ.items()}


@STUDIES.register("annealed_label_transfer_gate")
def make_study(scale: Scale) -> Study:
    """Return the ablation of algorithm 1: beta's slope against the gate's loss, the running statistics and the noise, as each can be read.

    Paper scale: every reading in every scenario. Pocket scale: the first scenario and the default reading of the noise.
    """
    paper = Study(
        name="annealed_label_transfer_gate",
        scale="paper",
        title="Annealed label transfer: gate and noise",
        source="Florea, Florea, Badea, Vertan, Racoviteanu 2019",
        axes={
            "slope": tuple(SLOPES),
            "encoder": ("pocket", "resnet18", "alexnet", "vgg16"),
            "gate_loss": ("sum", "mean"),
            "statistics": ("kept", "moved"),
            "noise": ("scale", "literal", "logits"),
            "scenario": tuple(SCENARIOS),
            "seed": tuple(range(5)),
        },
        arms=SLOPES,
        task="transfer",
        roles=ROLES,
        paper_data=PAPER_DATA,
        meanings={"scenario": SCENARIOS},
        compared="slope",
        largest="encoder",
        baseline="0.75",
        readings=READINGS,
    )
    if scale == "paper":
        return paper
    axes = paper.axes | {"encoder": ("pocket",), "noise": ("scale",), "scenario": ("wild",), "seed": tuple(range(3))}
    return replace(paper, scale="pocket", axes=axes, settings={name: POCKET[name] for name in POCKET if name not in ("weight", "rates")})
