"""Identity: an encoder that is trained to tell persons apart (Cao et al. 2018), or loaded from a file."""

from typing import Any, Literal

from trainables.methods.acceptance_probe import AcceptancePhase
from trainables.methods.method import METHODS, Phase
from trainables.methods.sgd_training import Recipe
from trainables.methods.supervised import Supervised
from trainables.models.weights import Weights


class IdentityRecipe(Recipe):
    """Settings of supervised learning on persons; the paper does not state them."""

    encoder: str = "vgg_face"
    """the network; the default is the paper's"""
    ratio: int = 1
    """passes over the images per epoch"""
    budget: Literal["epochs"] = "epochs"
    """a budget of steps or images is for methods that are compared"""
    pool: Literal["fixed", "fresh"] = "fresh"
    """fresh: images are augmented anew for each epoch"""
    weights: Weights | None = None
    """a file of the encoder's weights (state dict, safetensors, Keras' npz or h5); they are loaded, and the encoder is not trained"""


@METHODS.register("identity")
class IdentityPretraining(Supervised):
    """Cross-entropy over persons. The resulting encoder is accepted only if it tells persons apart better than raw pixels do."""

    Settings = IdentityRecipe
    settings: IdentityRecipe

    def __init__(self, settings: IdentityRecipe, *rest: Any) -> None:
        super().__init__(settings, *rest)
        if settings.weights:
            settings.weights.load_into(self.modules["encoder"])

    def build_phases(self) -> list[Phase]:
        training_phases = [] if self.settings.weights else super().build_phases()
        return [*training_phases, AcceptancePhase(self, needed=not self.settings.weights)]
