"""PL + ALRAO: pseudo-labels with all learning rates at once (Blier, Wolinski, Ollivier 2018): each unit draws its own, and keeps it."""

import math

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import nn
from torch.nn import functional

from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.pseudo_label import PseudoLabel, PseudoLabelRecipe, RampPhase
from trainables.methods.transfer import keep_running_statistics
from trainables.streams import make_generator


class AlraoRecipe(PseudoLabelRecipe):
    """Settings of pseudo-labels with random rates. `lr`, `momentum` and `milestones` mean nothing here: doing without is ALRAO's point."""

    rates: tuple[PositiveFloat, PositiveFloat] = (1e-5, 1.0)
    """a unit's learning rate is log-uniform between these; silent in the text, its reference's defaults"""
    layers: int = Field(10, ge=2)
    """last layers side by side, their rates evenly spaced on the same scale"""
    stay: float = Field(0.9999, gt=0, lt=1)
    """the switch's theta"""


class Parallel(nn.Module):
    """Last layers side by side, [n, features] to averaged log-probabilities [n, classes]; the switch weighs them (van Erven et al. 2008).

    The switch believes that one layer predicts best at first and that another may later; its belief after t batches changes with
    probability 1 / (t + 1), and with 1 - theta for good.
    """

    prior: torch.Tensor
    log_weights: torch.Tensor
    seen: torch.Tensor

    def __init__(self, features: int, classes: int, layers: int, stay: float) -> None:
        super().__init__()
        made = [nn.Linear(features, classes) for _ in range(layers)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in made]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in made]))
        self.register_buffer("prior", torch.tensor([[stay], [1 - stay]]).log() - math.log(layers))
        self.register_buffer("log_weights", self.prior.expand(2, layers).clone())
        self.register_buffer("seen", torch.tensor(1.0))

    def compute_each(self, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Log-probabilities [n, layers, classes]; where the layers do not learn, only the features get a gradient."""
        weight, bias = (self.weight, self.bias) if learns else (self.weight.detach(), self.bias.detach())
        return (torch.einsum("nf,lcf->nlc", features, weight) + bias).float().log_softmax(2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (self.compute_each(features, learns=False) + self.log_weights.logsumexp(0)[:, None]).logsumexp(1)

    @torch.no_grad()
    def update_switch(self, losses: torch.Tensor) -> None:
        """What the switch learns from each layer's loss [layers] on a batch (van Erven et al. 2008, algorithm 1)."""
        weighed = self.log_weights - losses
        leaves = 1 / (self.seen + 1)
        pool = weighed[0].logsumexp(0) + leaves.log()
        weighed[0] += (1 - leaves).log()
        weighed = torch.logaddexp(weighed, pool + self.prior)
        self.log_weights.copy_(weighed - weighed.flatten().logsumexp(0))
        self.seen += 1


def draw_unit_rates(network: nn.Module, low: float, high: float, rng: np.random.Generator) -> list[torch.Tensor]:
    """A log-uniform rate for each unit of a network, shaped to multiply its gradients; in the order of its parameters.

    The weights and the bias of one output of a linear or convolutional layer are one unit; of other layers each number is one.
    """

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(np.exp(rng.uniform(math.log(low), math.log(high), shape))).float()

    drawn: dict[nn.Parameter, torch.Tensor] = {}
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            units = draw(module.weight.shape[0])
            drawn |= {each: units.view(-1, *[1] * (each.dim() - 1)) for each in own}
        else:
            drawn |= {each: draw(*each.shape) for each in own}
    return [drawn[each] for each in network.parameters()]


class AlraoRampPhase(RampPhase):
    """As `RampPhase`; the network descends on the averaged loss at its units' rates, each last layer on its own loss at its own."""

    method: "PseudoLabelAlrao"

    def begin_phase(self) -> None:
        settings, device = self.method.settings, self.method.task.device
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)  # the rates are in the gradients
        low, high = settings.rates
        spaced = torch.logspace(math.log10(low), math.log10(high), settings.layers)
        rates = draw_unit_rates(self.method.modules["encoder"], low, high, make_generator(self.method.seed, "rates"))
        self.rates = [each.to(device) for each in (*rates, spaced[:, None, None], spaced[:, None])]

    def get_learning_rate(self, epoch: int) -> float:
        return 1.0

    def update_parameters(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter, rate in zip(self.model.parameters(), self.rates, strict=True):
            assert parameter.grad is not None
            parameter.grad.add_(parameter.detach(), alpha=self.method.settings.weight_decay).mul_(rate)
        self.optimizer.step()

    def train_step(self, step: int) -> Logs:
        (images, labels), (others, truth) = self.labelled[step], self.unlabelled[step]
        encoder, head = self.method.modules["encoder"], self.method.head
        with self.method.execution.autocast(self.method.task.device):
            features = encoder(images).float()
            with keep_running_statistics(encoder):
                further = encoder(others).float()
        averaged = head(further)
        pseudo = averaged.detach().argmax(1)
        loss, own = functional.nll_loss(head(features), labels), self.compute_each_loss(features, labels)
        unlabelled = functional.nll_loss(averaged, pseudo)
        self.update_parameters(loss + own.sum() + self.weight * (unlabelled + self.compute_each_loss(further, pseudo).sum()))
        head.update_switch(own)
        return {
            "train/loss": loss.detach(),
            "pool/loss": unlabelled.detach(),
            "pool/weight": self.weight,
            **self.measure_pseudo_accuracy(pseudo, truth),
        }

    def compute_each_loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Each last layer's own loss [layers], of which the network feels nothing."""
        each = self.method.head.compute_each(features.detach(), learns=True)
        return -each.gather(2, labels[:, None, None].expand(-1, each.shape[1], 1)).mean(dim=(0, 2))


@METHODS.register("pseudo_label_alrao")
class PseudoLabelAlrao(PseudoLabel):
    """Pseudo-labels with a learning rate of its own for each unit, and the last layers' averaged."""

    Settings = AlraoRecipe
    settings: AlraoRecipe

    def make_head(self, features: int, classes: int) -> nn.Module:
        return Parallel(features, classes, self.settings.layers, self.settings.stay)

    @property
    def head(self) -> Parallel:
        head = self.modules["classifier"]
        assert isinstance(head, Parallel)
        return head

    def build_phases(self) -> list[Phase]:
        return [AlraoRampPhase(self)]
