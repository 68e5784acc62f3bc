"""Transfer learning: a parent's convolutions stay fixed, its dense part is trained on (Goghberg et al. 2019, using transfer learning)."""

from typing import ClassVar, Literal

import torch
from torch import nn

from trainables.methods.from_scratch import AdamPhase, CNNRecipe, FromScratch
from trainables.methods.method import METHODS, Phase


class FrozenRecipe(CNNRecipe):
    """Settings of transfer learning."""

    dense: Literal["adapted", "fresh"] = "adapted"
    """initial values of the dense part. adapted: the parent's; fresh: random weights"""


@METHODS.register("frozen")
class Frozen(FromScratch):
    """Trains the dense layers only: the encoder's part `connected`, where it has one, and the classifier.

    Everything else, including the running statistics of normalisation layers, keeps the parent's values byte for byte.
    """

    Settings: ClassVar[type[FrozenRecipe]] = FrozenRecipe
    settings: FrozenRecipe

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        dense = ("encoder.connected.", "classifier.")
        fresh = self.modules.state_dict() if self.settings.dense == "fresh" else {}
        self.modules.load_state_dict(modules | {name: value for name, value in fresh.items() if name.startswith(dense)})

    def build_phases(self) -> list[Phase]:
        encoder = self.modules["encoder"]
        trained = nn.ModuleDict({"classifier": self.modules["classifier"]})
        if isinstance(connected := getattr(encoder, "connected", None), nn.Module):
            trained["connected"] = connected
        return [AdamPhase(self, trained)]
