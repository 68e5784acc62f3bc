"""UC: unsupervised contrastive learning (Chen et al. 2020; Virgolin et al. 2022, equation 1)."""

from typing import Any

import torch

from trainables.data.dataset import DataError
from trainables.losses import simclr_loss
from trainables.methods.contrastive import Contrastive, ContrastiveRecipe
from trainables.methods.method import METHODS, Logs


@METHODS.register("simclr")
class SimCLR(Contrastive):
    """The two views of an image attract each other; labels are not looked at."""

    Settings = ContrastiveRecipe

    def __init__(self, settings: ContrastiveRecipe, *rest: Any) -> None:
        if settings.domain == "c<-a":
            raise DataError("simclr: c<-a pairs images by label, which this loss does not look at; choose c or c+a")
        super().__init__(settings, *rest)

    def compare_projections(self, projections: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        first, second = projections.chunk(2)
        return simclr_loss(first, second, self.settings.temperature), {}
