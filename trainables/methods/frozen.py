"""Transfer learning: a parent's convolutions as they are, its dense part trained on (Goghberg et al. 2019, using transfer learning)."""

from typing import ClassVar, Literal

import torch
from torch import nn

from trainables.methods.from_scratch import AdamPhase, CNNRecipe, FromScratch
from trainables.methods.method import METHODS, Phase


class FrozenRecipe(CNNRecipe):
    """Settings of the transfer route."""

    dense: Literal["adapted", "fresh"] = "adapted"
    """whether the dense part starts as the parent's or from random weights"""


@METHODS.register("frozen")
class Frozen(FromScratch):
    """The dense layers alone move: of an encoder its part `connected`, where it has one, and the classifier.

    All else, running statistics of normalisations included, stays what the parent left, byte for byte.
    """

    Settings: ClassVar[type[FrozenRecipe]] = FrozenRecipe
    settings: FrozenRecipe

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        dense = ("encoder.connected.", "classifier.")
        fresh = self.modules.state_dict() if self.settings.dense == "fresh" else {}
        self.modules.load_state_dict(modules | {name: value for name, value in fresh.items() if name.startswith(dense)})

    def build_phases(self) -> list[Phase]:
        encoder = self.modules["encoder"]
        moving = nn.ModuleDict({"classifier": self.modules["classifier"]})
        if isinstance(connected := getattr(encoder, "connected", None), nn.Module):
            moving["connected"] = connected
        return [AdamPhase(self, moving)]
