"""The adversarial autoencoder that PK was trained as (Barros, Parisi, Wermter 2019), or PK from a file."""

from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainables import models
from trainables.data.augment import normalise_images
from trainables.data.task import Task
from trainables.methods.acceptance import AcceptancePhase
from trainables.methods.method import METHODS, Logs, Method, MethodSettings, Phase
from trainables.methods.recipe import encode_images
from trainables.models.autoencoder import CODE, Code, CodeDiscriminator, Decoder, ImageDiscriminator
from trainables.models.weights import Weights
from trainables.streams import make_generator, make_torch_seed

DISCRIMINATORS = ("prior", "image", "sample", "person")


class AutoencoderRecipe(MethodSettings):
    """Settings; the defaults are the published code's, what it lacks is ours."""

    encoder: str = "pk"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    width: float = Field(1.0, gt=0, le=1)
    """of decoder and discriminators, as a share of the published units"""
    weights: Weights | None = None
    """a file of the encoder's weights (state dict, safetensors, Keras' npz or h5): it is loaded, and nothing is trained"""
    adversarial: float = Field(0.01, ge=0)
    """weight of each of prior, image and sample beside the reconstruction"""
    identity: float = Field(0.3, ge=0)
    """weight of person"""
    batch: int = Field(49, ge=2)
    epochs: int = Field(50, ge=1)
    lr: float = Field(2e-4, gt=0)
    beta: float = Field(0.5, ge=0, lt=1)
    """of Adam's first moment"""


@METHODS.register("adversarial_autoencoder")
class AdversarialAutoencoder(Method):
    """Reconstruction, and four discriminators that encoder and decoder are trained against.

    `prior`: was this code drawn uniformly, or encoded? `image`: is this picture real, or reconstructed? `sample`: is it real, or decoded
    from a drawn code? `person`: of whom is this code? The encoder is trained to be told by the last, not to deceive it: features "that are
    distinguishable from different persons". The published code has an emotion discriminator and a face network's features in place of
    the last two; the first would break the promise that no affect label was seen.
    """

    Settings = AutoencoderRecipe
    settings: AutoencoderRecipe

    def __init__(self, settings: AutoencoderRecipe, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        encoder = models.build_encoder(settings.encoder, channels=task.channels, size=task.size, **settings.encoder_settings)
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
        accepted = AcceptancePhase(self, needed=not self.settings.weights)
        return [accepted] if self.settings.weights else [AdversarialPhase(self), accepted]

    def compute_logits(self, pixels: Tensor) -> Tensor:
        """Of a linear layer on the frozen encoder: what its features know of persons."""
        return self.modules["classifier"](encode_images(self.modules["encoder"], pixels))


class AdversarialPhase(Phase):
    """Each step: the discriminators learn to tell apart, then encoder and decoder to reconstruct and to be mistaken."""

    name = "autoencoder"

    def __init__(self, method: AdversarialAutoencoder) -> None:
        self.method, self.epochs = method, method.settings.epochs
        self.model = nn.ModuleDict({name: module for name, module in method.modules.items() if name != "classifier"})

    def begin_phase(self) -> None:
        settings, modules = self.method.settings, self.method.modules
        self.makers = [each for name in ("encoder", "code", "decoder") for each in modules[name].parameters()]
        self.judges = [each for name in DISCRIMINATORS for each in modules[name].parameters()]
        self.optimizer = torch.optim.Adam([*self.makers, *self.judges], lr=settings.lr, betas=(settings.beta, 0.999), fused=True)

    def start_epoch(self, epoch: int) -> int:
        method, train = self.method, self.method.task.train
        self.batch = min(method.settings.batch, len(train.labels))
        order = make_generator(method.seed, "order", self.name, epoch).permutation(len(train.labels))
        self.order = torch.from_numpy(order).to(method.task.device)
        steps = len(order) // self.batch
        drawn = torch.Generator().manual_seed(make_torch_seed(method.seed, "prior", epoch))
        self.drawn = (2 * torch.rand(steps, self.batch, CODE, generator=drawn) - 1).to(method.task.device)
        return steps

    def train_step(self, step: int) -> Logs:
        train, modules, settings = self.method.task.train, self.method.modules, self.method.settings
        rows = self.order[step * self.batch : (step + 1) * self.batch]
        images, persons, drawn = normalise_images(train.pixels[rows]), train.labels[rows], self.drawn[step]
        with self.method.execution.autocast(images.device):
            code = modules["code"](modules["encoder"](images))
            rebuilt, sampled = modules["decoder"](code), modules["decoder"](drawn)
            judged = {
                "prior": _discriminator_loss(modules["prior"], drawn, code),
                "image": _discriminator_loss(modules["image"], images, rebuilt),
                "sample": _discriminator_loss(modules["sample"], images, sampled),
                "person": functional.cross_entropy(modules["person"](code.detach()).float(), persons),
            }
        self.update_parameters(torch.stack(list(judged.values())).sum(), self.judges)
        with self.method.execution.autocast(images.device):
            reconstruction = (images - rebuilt).abs().mean()
            mistaken = (
                _generator_loss(modules["prior"](code))
                + _generator_loss(modules["image"](rebuilt))
                + _generator_loss(modules["sample"](sampled))
            )
            person = functional.cross_entropy(modules["person"](code).float(), persons)
        loss = reconstruction + settings.adversarial * mistaken + settings.identity * person
        self.update_parameters(loss, self.makers)
        logs = {"train/reconstruction": reconstruction, "train/person": person}
        logs |= {f"discriminator/{name}": value for name, value in judged.items()}
        return {"train/loss": loss.detach(), **{name: value.detach() for name, value in logs.items()}}

    def update_parameters(self, loss: Tensor, parameters: list[nn.Parameter]) -> None:
        """A step of these parameters alone: the optimiser passes over what has no gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()


def _discriminator_loss(judge: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """A discriminator's loss; what was made is not moved by it."""
    taken, refused = judge(real).float(), judge(made.detach()).float()
    return 0.5 * (_generator_loss(taken) + functional.binary_cross_entropy_with_logits(refused, torch.zeros_like(refused)))


def _generator_loss(answers: Tensor) -> Tensor:
    """The loss of one who wants to be taken for real."""
    return functional.binary_cross_entropy_with_logits(answers.float(), torch.ones_like(answers, dtype=torch.float32))
