"""The adversarial autoencoder that trains PK (Barros, Parisi, Wermter 2019), or PK loaded from a file."""

from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.data.augment import normalise_images
from trainables.data.task import Task
from trainables.execution.cuda_graph import set_learning_rate
from trainables.methods.acceptance_probe import AcceptancePhase
from trainables.methods.classifier import DescentPhase, encode_images
from trainables.methods.method import METHODS, Logs, Method, MethodSettings, Phase
from trainables.models.autoencoder import CODE, Code, CodeDiscriminator, Decoder, ImageDiscriminator
from trainables.models.weights import Weights
from trainables.random_streams import make_generator, make_torch_seed

DISCRIMINATORS = ("prior", "image", "sample", "person")


class AutoencoderRecipe(MethodSettings):
    """Settings; the defaults are the published code's, and our own where it has none."""

    encoder: str = "pk"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    width: float = Field(1.0, gt=0, le=1)
    """width of decoder and discriminators, as a share of the published units"""
    weights: Weights | None = None
    """a file of the encoder's weights (state dict, safetensors, Keras' npz or h5); they are loaded, and nothing is trained"""
    adversarial: float = Field(0.01, ge=0)
    """weight of each of the losses prior, image and sample, relative to the reconstruction loss"""
    identity: float = Field(0.3, ge=0)
    """weight of the loss person"""
    batch: int = Field(49, ge=2)
    epochs: int = Field(50, ge=1)
    lr: float = Field(2e-4, gt=0)
    beta: float = Field(0.5, ge=0, lt=1)
    """Adam's beta1, the decay of its first moment"""


@METHODS.register("adversarial_autoencoder")
class AdversarialAutoencoder(Method):
    """Reconstruction, with four discriminators that encoder and decoder are trained against.

    `prior` tells uniformly drawn codes from encoded ones. `image` tells real images from reconstructed ones. `sample` tells real images
    from those decoded from drawn codes. `person` tells whose code it is. The encoder is trained to help `person`, not to deceive it:
    features "that are distinguishable from different persons". In place of the last two, the published code has an emotion
    discriminator and a face network's features; the first would break the promise that no affect label is seen.
    """

    Settings = AutoencoderRecipe
    settings: AutoencoderRecipe

    def __init__(self, settings: AutoencoderRecipe, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        encoder = self.build_encoder()
        if settings.weights:
            settings.weights.load_into(encoder)
        features = cast(int, encoder.features)
        self.modules["encoder"] = encoder
        self.modules["code"] = Code(features)
        self.modules["decoder"] = Decoder(task.channels, task.size, settings.width)
        self.modules["prior"] = CodeDiscriminator(1, 64, 32, 16)
        self.modules["person"] = CodeDiscriminator(len(task.classes), 128)
        for name in ("image", "sample"):
            self.modules[name] = ImageDiscriminator(task.channels, 1, settings.width)
        self.modules["classifier"] = nn.Linear(features, len(task.classes))

    def build_phases(self) -> list[Phase]:
        acceptance = AcceptancePhase(self, needed=not self.settings.weights)
        return [acceptance] if self.settings.weights else [AdversarialPhase(self), acceptance]

    def compute_logits(self, pixels: Tensor) -> Tensor:
        """Return the person logits of a linear layer on the frozen encoder: they show what its features know of persons."""
        result: Tensor = self.modules["classifier"](encode_images(self.modules["encoder"], pixels))
        return result


class AdversarialPhase(DescentPhase):
    """Each step trains the discriminators first, then encoder and decoder to reconstruct and to deceive (with `person`: to help) them."""

    name = "autoencoder"
    method: AdversarialAutoencoder
    compiles = False  # two updates go through one forward pass, which compiled code can go back through only once

    def __init__(self, method: AdversarialAutoencoder) -> None:
        self.method, self.epochs = method, method.settings.epochs
        self.model = nn.ModuleDict({name: module for name, module in method.modules.items() if name != "classifier"})

    def make_optimizer(self) -> torch.optim.Optimizer:
        settings, modules = self.method.settings, self.method.modules
        self.makers = [parameter for name in ("encoder", "code", "decoder") for parameter in modules[name].parameters()]
        self.judges = [parameter for name in DISCRIMINATORS for parameter in modules[name].parameters()]
        recorded = self.method.execution.recorded  # a graph keeps the step count on the GPU
        parameters, betas = [*self.makers, *self.judges], (settings.beta, 0.999)
        return torch.optim.Adam(parameters, lr=settings.lr, betas=betas, fused=True, capturable=recorded)

    def start_epoch(self, epoch: int) -> int:
        method, train = self.method, self.method.task.train
        self.batch = min(method.settings.batch, len(train.labels))
        order = make_generator(method.seed, "order", self.name, epoch).permutation(len(train.labels))
        self.order = torch.from_numpy(order).to(method.task.device)
        set_learning_rate(self.optimizer, method.settings.lr, self.update_parameters)
        steps = len(order) // self.batch
        generator = torch.Generator().manual_seed(make_torch_seed(method.seed, "prior", epoch))
        self.drawn = (2 * torch.rand(steps, self.batch, CODE, generator=generator) - 1).to(method.task.device)
        return steps

    def count_images(self) -> int:
        return self.batch

    def train_step(self, step: int) -> Logs:
        train, shard = self.method.task.train, self.method.shard
        rows = shard.get_part(self.order[step * self.batch : (step + 1) * self.batch])
        return self.update_parameters(normalise_images(train.pixels[rows]), train.labels[rows], shard.get_part(self.drawn[step]))

    def train_batch(self, *batch: Tensor) -> Logs:
        (images, persons, prior_codes), modules, settings = batch, self.method.modules, self.method.settings
        with self.method.execution.autocast(images.device):
            code = modules["code"](modules["encoder"](images))
            reconstructed, sampled = modules["decoder"](code), modules["decoder"](prior_codes)
            discriminator_losses = {
                "prior": _discriminator_loss(modules["prior"], prior_codes, code),
                "image": _discriminator_loss(modules["image"], images, reconstructed),
                "sample": _discriminator_loss(modules["sample"], images, sampled),
                "person": functional.cross_entropy(modules["person"](code.detach()).float(), persons),
            }
        logs = {f"discriminator/{name}": value.detach() for name, value in discriminator_losses.items()}
        logs = self.descend(torch.stack(list(discriminator_losses.values())).sum(), logs, self.judges)
        with self.method.execution.autocast(images.device):
            reconstruction = (images - reconstructed).abs().mean()
            adversarial_loss = (
                _generator_loss(modules["prior"](code))
                + _generator_loss(modules["image"](reconstructed))
                + _generator_loss(modules["sample"](sampled))
            )
            person_loss = functional.cross_entropy(modules["person"](code).float(), persons)
        loss = reconstruction + settings.adversarial * adversarial_loss + settings.identity * person_loss
        made = {"train/loss": loss, "train/reconstruction": reconstruction, "train/person": person_loss}
        return self.descend(loss, {name: value.detach() for name, value in made.items()}, self.makers) | logs


def _discriminator_loss(judge: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Return a discriminator's loss; no gradient flows into `made`."""
    real_logits, made_logits = judge(real).float(), judge(made.detach()).float()
    return 0.5 * (_generator_loss(real_logits) + functional.binary_cross_entropy_with_logits(made_logits, torch.zeros_like(made_logits)))


def _generator_loss(answers: Tensor) -> Tensor:
    """Return the generator's loss: the cross-entropy of a discriminator's logits `answers` with the class real."""
    return functional.binary_cross_entropy_with_logits(answers.float(), torch.ones_like(answers, dtype=torch.float32))
