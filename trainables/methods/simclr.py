"""UC: unsupervised contrastive learning (Chen et al. 2020; Virgolin et al. 2022, equation 1)."""

import torch

from trainables.losses import simclr_loss
from trainables.methods.contrastive import Contrastive, ContrastiveRecipe
from trainables.methods.method import METHODS, Logs


@METHODS.register("simclr")
class SimCLR(Contrastive):
    """The two views of an image attract each other; labels are not used."""

    Settings = ContrastiveRecipe

    def compare_projections(self, projections: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        first, second = projections.chunk(2)
        return simclr_loss(first, second, self.settings.temperature), {}
