"""PL + ALRAO: pseudo-labels with all learning rates at once (Blier, Wolinski, Ollivier 2018): each unit draws a fixed rate of its own."""

import math

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import nn
from torch.nn import functional

from trainables.methods.method import METHODS, Logs, Phase
from trainables.methods.pseudo_label import PseudoLabel, PseudoLabelRecipe, RampPhase
from trainables.methods.transfer import keep_running_statistics
from trainables.random_streams import make_generator


class AlraoRecipe(PseudoLabelRecipe):
    """Settings of pseudo-labels with random rates. `lr`, `momentum` and `milestones` have no effect: ALRAO exists to do without them."""

    rates: tuple[PositiveFloat, PositiveFloat] = (1e-5, 1.0)
    """a unit's learning rate is log-uniform between these; not stated in the paper, so its reference's defaults"""
    layers: int = Field(10, ge=2)
    """number of parallel last layers; their learning rates are evenly spaced on the same logarithmic scale"""
    stay: float = Field(0.9999, gt=0, lt=1)
    """the switch's theta"""


class Parallel(nn.Module):
    """Parallel last layers, [n, features] to averaged log-probabilities [n, classes], weighted by the switch (van Erven et al. 2008).

    The switch assumes that one layer predicts best at first and that another may later. After t batches its belief changes with
    probability 1 / (t + 1); with probability 1 - theta a change is final.
    """

    prior: torch.Tensor
    log_weights: torch.Tensor
    seen: torch.Tensor

    def __init__(self, features: int, classes: int, layers: int, stay: float) -> None:
        super().__init__()
        linear_layers = [nn.Linear(features, classes) for _ in range(layers)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in linear_layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in linear_layers]))
        self.register_buffer("prior", torch.tensor([[stay], [1 - stay]]).log() - math.log(layers))
        self.register_buffer("log_weights", self.prior.expand(2, layers).clone())
        self.register_buffer("seen", torch.tensor(1.0))

    def compute_each(self, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Return log-probabilities [n, layers, classes]. If `learns` is false, only the features get a gradient."""
        weight, bias = (self.weight, self.bias) if learns else (self.weight.detach(), self.bias.detach())
        return (torch.einsum("nf,lcf->nlc", features, weight) + bias).float().log_softmax(2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (self.compute_each(features, learns=False) + self.log_weights.logsumexp(0)[:, None]).logsumexp(1)

    @torch.no_grad()
    def update_switch(self, losses: torch.Tensor) -> None:
        """Update the switch by each layer's loss [layers] on a batch (van Erven et al. 2008, algorithm 1)."""
        updated = self.log_weights - losses
        switch_probability = 1 / (self.seen + 1)
        switched = updated[0].logsumexp(0) + switch_probability.log()
        updated[0] += (1 - switch_probability).log()
        updated = torch.logaddexp(updated, switched + self.prior)
        self.log_weights.copy_(updated - updated.flatten().logsumexp(0))
        self.seen += 1


def draw_unit_rates(network: nn.Module, low: float, high: float, rng: np.random.Generator) -> list[torch.Tensor]:
    """Return a log-uniform learning rate for each unit of a network, shaped to multiply its gradients, in the order of its parameters.

    The weights and the bias of one output of a linear or convolutional layer are one unit. In other layers each number is a unit.
    """

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(np.exp(rng.uniform(math.log(low), math.log(high), shape))).float()

    rates: dict[nn.Parameter, torch.Tensor] = {}
    for module in network.modules():
        parameters = list(module.parameters(recurse=False))
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            unit_rates = draw(module.weight.shape[0])
            rates |= {parameter: unit_rates.view(-1, *[1] * (parameter.dim() - 1)) for parameter in parameters}
        else:
            rates |= {parameter: draw(*parameter.shape) for parameter in parameters}
    return [rates[parameter] for parameter in network.parameters()]


class AlraoRampPhase(RampPhase):
    """As `RampPhase`, with a learning rate per unit.

    The network descends on the averaged loss at its units' rates. Each last layer descends on its own loss at its own rate.
    """

    method: "PseudoLabelAlrao"

    def make_optimizer(self) -> torch.optim.Optimizer:
        settings, device = self.method.settings, self.method.task.device
        low, high = settings.rates
        layer_rates = torch.logspace(math.log10(low), math.log10(high), settings.layers)
        unit_rates = draw_unit_rates(self.method.modules["encoder"], low, high, make_generator(self.method.seed, "rates"))
        self.rates = [rate.to(device) for rate in (*unit_rates, layer_rates[:, None, None], layer_rates[:, None])]
        recorded = self.method.execution.recorded  # a graph takes the learning rate as a tensor
        return torch.optim.SGD(self.model.parameters(), lr=1.0, fused=recorded)  # the rates are multiplied into the gradients

    def get_learning_rate(self, epoch: int) -> float:
        return 1.0

    def scale_gradients(self) -> None:
        for parameter, rate in zip(self.model.parameters(), self.rates, strict=True):
            assert parameter.grad is not None
            parameter.grad.add_(parameter.detach(), alpha=self.method.settings.weight_decay).mul_(rate)

    def train_batch(self, *batch: torch.Tensor) -> Logs:
        loss, logs, layer_losses = self.compute(type(self).compute_losses, *batch)
        logs = self.descend(loss, logs)
        self.method.head.update_switch(self.method.shard.average_tensor(layer_losses))
        return logs

    def compute_losses(self, *batch: torch.Tensor) -> tuple[torch.Tensor, Logs, torch.Tensor]:
        """Return the loss of a step, what to log, and each last layer's loss on the labelled images [layers] (detached)."""
        images, labels, unlabelled_images, truth, scale, weight = batch
        encoder, head = self.method.modules["encoder"], self.method.head
        features = encoder(images).float()
        with keep_running_statistics(encoder, self.method.settings.statistics):
            unlabelled_features = encoder(unlabelled_images).float()
        averaged = head(unlabelled_features)
        pseudo = averaged.detach().argmax(1)
        loss, layer_losses = functional.nll_loss(head(features), labels), self.compute_each_loss(features, labels)
        unlabelled_loss = functional.nll_loss(averaged, pseudo)
        total = loss + layer_losses.sum() + weight * (unlabelled_loss + self.compute_each_loss(unlabelled_features, pseudo).sum())
        accuracy = self.measure_pseudo_accuracy(pseudo, truth, scale)
        return total, self.make_logs(loss, unlabelled_loss, weight, accuracy), layer_losses.detach()

    def compute_each_loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return each last layer's own loss [layers]; no gradient flows into the network."""
        log_probabilities = self.method.head.compute_each(features.detach(), learns=True)
        return -log_probabilities.gather(2, labels[:, None, None].expand(-1, log_probabilities.shape[1], 1)).mean(dim=(0, 2))


@METHODS.register("pseudo_label_alrao")
class PseudoLabelAlrao(PseudoLabel):
    """Pseudo-labels with a learning rate of its own for each unit, and averaged last layers."""

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
