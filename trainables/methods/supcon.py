"""SC: supervised contrastive learning (Khosla et al. 2020; Virgolin et al. 2022, equation 2), also with adults as augmentations."""

from typing import get_args

import torch

from trainables.data.augmented_pool import Domain
from trainables.losses import supcon_loss
from trainables.methods.contrastive import Contrastive, ContrastiveRecipe
from trainables.methods.method import METHODS, Logs


@METHODS.register("supcon")
class SupCon(Contrastive):
    """All views with the same label attract each other; in the domain c<-a the second view is an adult's."""

    Settings = ContrastiveRecipe
    domains = get_args(Domain)

    def compare_projections(self, projections: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        loss, unpaired = supcon_loss(projections, labels.repeat(2), self.settings.temperature)
        return loss, {"train/alone": unpaired}
