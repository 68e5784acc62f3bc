"""Identity: an encoder taught to tell persons apart (Cao et al. 2018), or loaded from a file."""

from typing import Any

import torch

from trainables.methods.acceptance import Acceptance
from trainables.methods.method import METHODS, Phase
from trainables.methods.recipe import Recipe
from trainables.methods.supervised import Supervised
from trainables.models.weights import Weights


class IdentityRecipe(Recipe):
    """Settings of supervised learning on persons; silent in the text."""

    encoder: str = "vgg_face"
    ratio: int = 1
    pool: Any = "fresh"
    weights: Weights | None = None
    """a file of the encoder's weights (state dict, safetensors, Keras' npz or h5): it is loaded, and nothing is trained"""


@METHODS.add("identity")
class Identity(Supervised):
    """Cross-entropy over persons; the encoder that results is accepted only if it tells them apart better than raw pixels."""

    Settings = IdentityRecipe
    settings: IdentityRecipe

    def __init__(self, settings: IdentityRecipe, *rest: Any) -> None:
        super().__init__(settings, *rest)
        if settings.weights:
            settings.weights.load(self.modules["encoder"])

    def phases(self) -> list[Phase]:
        trained = [] if self.settings.weights else super().phases()
        return [*trained, Acceptance(self, self.modules["encoder"], needed=not self.settings.weights)]

    @property
    def encoder(self) -> torch.nn.Module:
        return self.modules["encoder"]
