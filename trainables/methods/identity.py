"""Identity: an encoder taught to tell persons apart (Cao et al. 2018), or loaded from a file."""

from typing import Any, Literal

from trainables.methods.acceptance import AcceptancePhase
from trainables.methods.method import METHODS, Phase
from trainables.methods.recipe import Recipe
from trainables.methods.supervised import Supervised
from trainables.models.weights import Weights


class IdentityRecipe(Recipe):
    """Settings of supervised learning on persons; silent in the text."""

    encoder: str = "vgg_face"
    """the network, the text's by default"""
    ratio: int = 1
    """passes over the images that an epoch has"""
    pool: Literal["fixed", "fresh"] = "fresh"
    """fresh: images are crafted anew for each epoch"""
    weights: Weights | None = None
    """a file of the encoder's weights (state dict, safetensors, Keras' npz or h5): it is loaded, and nothing of it is trained"""


@METHODS.register("identity")
class IdentityPretraining(Supervised):
    """Cross-entropy over persons; the encoder that results is accepted only if it tells them apart better than raw pixels."""

    Settings = IdentityRecipe
    settings: IdentityRecipe

    def __init__(self, settings: IdentityRecipe, *rest: Any) -> None:
        super().__init__(settings, *rest)
        if settings.weights:
            settings.weights.load_into(self.modules["encoder"])

    def build_phases(self) -> list[Phase]:
        trained = [] if self.settings.weights else super().build_phases()
        return [*trained, AcceptancePhase(self, needed=not self.settings.weights)]
