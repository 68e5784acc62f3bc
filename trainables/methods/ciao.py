"""CIAO: a face encoder, frozen or not, with a decision layer, with and without the inhibitory mask (Barros & Sciutti 2022)."""

from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn

from trainables import models
from trainables.data.augment import normalise_images
from trainables.data.targets import TARGETS
from trainables.data.task import Images, Task
from trainables.execution import feature_cache
from trainables.losses import ciao_loss
from trainables.methods.method import METHODS, Logs, Method, MethodSettings, Phase
from trainables.models.convolutional import Convolutional
from trainables.models.heads import Decision
from trainables.models.inhibition import Inhibition
from trainables.registry import BadRequest
from trainables.streams import make_generator

Batch = tuple[torch.Tensor, ...]


class CIAOSettings(MethodSettings):
    """Settings; the defaults are the text's and, where it is silent, its published code's."""

    encoder: str = "vgg_face"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    regime: Literal["DL", "LC", "Full"] = "DL"
    """what is trained: the decision layer; the last convolution, too; everything"""
    mask: bool = True
    """with CIAO: mask and contrastive loss; without, the decision loss alone"""
    head: Decision = Decision()
    temperature: float = Field(0.42417689870668324, gt=0)
    denominator: Literal["negatives", "all"] = "negatives"
    """what an image's likes are held against: other labels' images (our reading of equation 3), or all (the published code, nearly)"""
    reduction: Literal["mean", "sum"] = "mean"
    """over a batch's images; the sum, as printed, drowns the decision loss"""
    features: Literal["mask", "head", "softmax"] = "mask"
    """what is compared: the masked map (what the text says is so optimised), a dense layer on it, or the predictions (its code)"""
    contrast_units: int = Field(128, ge=2)
    """of that dense layer"""
    update: Literal["joint", "alternate"] = "joint"
    """one step on the sum of both losses (equation 5), or one on each, the mask's first (the published code)"""
    optimizer: Literal["SGD", "Adam"] = "Adam"
    lr: float = Field(0.0015620329853823292, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    """of SGD"""
    nesterov: bool = False
    """of SGD with momentum"""
    batch: int = Field(128, ge=2)
    epochs: int = Field(50, ge=1)


@METHODS.register("ciao")
class CIAO(Method):
    """Three regimes, each without and with the mask.

    What does not move stays in evaluation mode and runs once an image (see feature_cache.py). A clip's frames are pooled: its
    map is the mean of its frames' maps.
    """

    Settings = CIAOSettings
    settings: CIAOSettings

    def __init__(self, settings: CIAOSettings, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        encoder = models.build_encoder(settings.encoder, channels=task.channels, size=task.size, **settings.encoder_settings)
        if not isinstance(encoder, Convolutional):
            raise BadRequest(f"ciao: encoder {settings.encoder} cannot be cut at its last convolution; it must be a Convolutional")
        self.modules["encoder"] = encoder
        shape = _get_map_shape(encoder, task)
        if settings.mask:
            self.modules["mask"] = Inhibition(encoder)
            if settings.features == "head":
                self.modules["contrast"] = Decision(layers=0).build_head(shape, settings.contrast_units)
        self.modules["head"] = settings.head.build_head(shape, len(task.classes))
        self._name: str | None = None

    @property
    def encoder(self) -> Convolutional:
        return cast(Convolutional, self.modules["encoder"])

    @property
    def mask(self) -> Inhibition | None:
        return cast(Inhibition, self.modules["mask"]) if self.settings.mask else None

    def inherit_parameters(self, modules: dict[str, torch.Tensor]) -> None:
        """The parent's encoder; the mask begins as its last convolution. BadRequest where it is another one."""
        state = {name.removeprefix("encoder."): value for name, value in modules.items() if name.startswith("encoder.")}
        try:
            self.encoder.load_state_dict(state)
        except RuntimeError as error:
            raise BadRequest(f"ciao: the parent's encoder is none like {self.settings.encoder} ({' '.join(str(error).split())})") from None
        if self.mask is not None:
            self.mask.copy_(self.encoder.last_convolution, self.encoder.last_normalisation)

    def get_trained_modules(self) -> nn.ModuleDict:
        """The modules that training moves, and no others."""
        own: dict[str, nn.Module] = {name: self.modules[name] for name in ("mask", "contrast", "head") if name in self.modules}
        if self.settings.regime == "LC":
            own["last"] = self.encoder.last_convolution
        elif self.settings.regime == "Full":
            own["encoder"] = self.encoder
        return nn.ModuleDict(own)

    def describe_training(self) -> dict[str, Any]:
        return {"updated_parameters": sum(each.numel() for each in self.get_trained_modules().parameters())}

    def build_network(self) -> nn.Module:
        return Network(self.encoder, self.mask, self._head)

    def build_phases(self) -> list[Phase]:
        return [CIAOPhase(self)]

    # what is computed once an image, and what each step
    def compute_frozen(self, images: torch.Tensor) -> Batch:
        """Of images (float [n, c, s, s]; of clips [n, frames, c, s, s]) all that no step changes."""
        if self.settings.regime == "Full":
            return (images,)
        frames, flat = images.shape[1:-3], images.flatten(0, -4)
        before = self.encoder.compute_trunk(flat)
        if self.settings.regime == "LC":
            return (before.unflatten(0, (len(images), *frames)),)
        u = self.encoder.compute_last_map(before)
        if self.mask is None:
            return (self._flatten_maps(_pool_frames(u.unflatten(0, (len(images), *frames)))),)
        return tuple(each.unflatten(0, (len(images), *frames)) for each in (u, self.encoder.get_last_input(before)))

    def compute_outputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Of what `compute_frozen` gives: outputs float32 [n, k], and the last map [n, c, h, w], masked where there is a mask."""
        if self.settings.regime == "DL" and self.mask is None:
            return self._apply_dense(batch[0]).float(), batch[0]
        n, frames = len(batch[0]), batch[0].shape[1:-3]
        flat = tuple(each.flatten(0, -4) for each in batch)
        if self.settings.regime == "DL":
            u, fed = flat
        else:
            before = self.encoder.compute_trunk(flat[0]) if self.settings.regime == "Full" else flat[0]
            u, fed = self.encoder.compute_last_map(before), self.encoder.get_last_input(before)
        maps = _pool_frames((u if self.mask is None else self.mask(u, fed)).unflatten(0, (n, *frames)))
        return self._apply_dense(self._flatten_maps(maps)).float(), maps

    def _flatten_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """The head's layers without parameters: pooled and flattened maps [n, d]."""
        return self._head[: self._first](maps)

    def _apply_dense(self, features: torch.Tensor) -> torch.Tensor:
        return self._head[self._first :](features)

    @property
    def _head(self) -> nn.Sequential:
        return cast(nn.Sequential, self.modules["head"])

    @property
    def _first(self) -> int:
        return next(place for place, layer in enumerate(self._head) if isinstance(layer, nn.Linear))

    def get_contrasted(self, outputs: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """What the contrastive loss looks at, [n, d]."""
        if self.settings.features == "softmax":
            return TARGETS[self.task.target].compute_predictions(outputs)
        return self.modules["contrast"](maps) if self.settings.features == "head" else maps.flatten(1)

    def get_frozen_features(self, pixels: torch.Tensor) -> Batch | None:
        """`compute_frozen` of all images, from what this process has kept; None where nothing is frozen, or it is too much to keep."""
        settings = self.settings
        if settings.regime == "Full":
            return None
        if self._name is None:
            self.encoder.eval()
            moves = {id(each) for each in self.get_trained_modules().parameters()}
            still = [each for each in self.encoder.state_dict(keep_vars=True).values() if id(each) not in moves]
            pooled = settings.regime == "DL" and not settings.mask and settings.head.pool
            how = (settings.encoder, settings.regime, settings.regime == "DL" and settings.mask, pooled, str(self.execution))
            self._name = f"{how} {feature_cache.hash_tensors(still)}"
        return feature_cache.get_or_compute(self._name, pixels, self.compute_frozen)

    @torch.no_grad()
    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        self.modules.eval()
        kept, found = self.get_frozen_features(pixels), []
        for start in range(0, len(pixels), feature_cache.BATCH):
            chosen = slice(start, start + feature_cache.BATCH)
            found.append(
                self.compute_outputs(
                    tuple(each[chosen] for each in kept) if kept else self.compute_frozen(normalise_images(pixels[chosen]))
                )[0]
            )
        return torch.cat(found)


class Network(nn.Module):
    """Encoder, mask where there is one, and decision layer as one: float images [n, c, s, s] to outputs [n, k]."""

    def __init__(self, encoder: Convolutional, mask: Inhibition | None, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.mask, self.head = encoder, mask, head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        before = self.encoder.compute_trunk(images)
        u = self.encoder.compute_last_map(before)
        return self.head(u if self.mask is None else self.mask(u, self.encoder.get_last_input(before)))


class CIAOPhase(Phase):
    """One step a batch on the decision loss, and on the contrastive loss where there is a mask."""

    name = "fit"

    def __init__(self, method: CIAO) -> None:
        self.method, self.epochs, self.model = method, method.settings.epochs, method.get_trained_modules()

    def begin_phase(self) -> None:
        method, settings = self.method, self.method.settings
        method.modules.requires_grad_(False)
        self.model.requires_grad_(True)
        method.modules.eval()
        self.masks = [each for name, module in self.model.named_children() if name in ("mask", "contrast") for each in module.parameters()]
        self.others = [each for each in self.model.parameters() if not any(each is mine for mine in self.masks)]
        every = [*self.masks, *self.others]
        self.optimizer = (
            torch.optim.SGD(
                every, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov and settings.momentum > 0, fused=True
            )
            if settings.optimizer == "SGD"
            else torch.optim.Adam(every, lr=settings.lr, fused=True)
        )
        self.batch = min(settings.batch, len(self.train_images.labels))
        self.kept = method.get_frozen_features(self.train_images.pixels)

    @property
    def train_images(self) -> Images:
        return self.method.task.train

    def start_epoch(self, epoch: int) -> int:
        order = make_generator(self.method.seed, "order", self.name, epoch).permutation(len(self.train_images.labels))
        self.order = torch.from_numpy(order).to(self.method.task.device)
        return len(order) // self.batch

    def train_step(self, step: int) -> Logs:
        method, train = self.method, self.train_images
        rows = self.order[step * self.batch : (step + 1) * self.batch]
        labels, values = train.labels[rows], None if train.values is None else train.values[rows]
        batch = self.get_batch(rows)
        if method.mask is None:
            decision, _, _ = self.compute_losses(batch, labels, values)
            self.update_parameters(decision, self.others)
            return {"train/loss": decision.detach()}
        if method.settings.update == "joint":
            decision, contrast, alone = self.compute_losses(batch, labels, values)
            self.update_parameters(decision + contrast, [*self.masks, *self.others])
        else:
            _, contrast, alone = self.compute_losses(batch, labels, values)
            self.update_parameters(contrast, self.masks)
            decision, _, _ = self.compute_losses(batch, labels, values)
            self.update_parameters(decision, self.others)
        decision, contrast = decision.detach(), contrast.detach()
        logs = {"train/decision": decision, "train/contrast": contrast, "train/alone": alone, "mask/a": method.mask.a.detach().mean()}
        return {"train/loss": decision + contrast, **logs}

    def get_batch(self, rows: torch.Tensor) -> Batch:
        """What `CIAO.compute_frozen` gives of these images."""
        if self.kept is not None:
            return tuple(each[rows] for each in self.kept)
        with torch.no_grad(), self.method.execution.autocast(self.method.task.device):
            return self.method.compute_frozen(normalise_images(self.train_images.pixels[rows]))

    def compute_losses(
        self, batch: Batch, labels: torch.Tensor, values: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The decision loss, the contrastive loss (0 without a mask), and the share of images that are alike to no other."""
        method, settings = self.method, self.method.settings
        with method.execution.autocast(method.task.device):
            outputs, maps = method.compute_outputs(batch)
            decision = TARGETS[method.task.target].compute_loss(outputs, labels, values)
            if method.mask is None:
                return decision, torch.zeros_like(decision), torch.zeros_like(decision)
            compared = method.get_contrasted(outputs, maps)
        return decision, *ciao_loss(compared, labels, settings.temperature, settings.denominator, settings.reduction)

    def update_parameters(self, loss: torch.Tensor, parameters: list[nn.Parameter]) -> None:
        """A step of these parameters alone: the optimiser passes over what has no gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        method, val = self.method, self.method.task.val
        predictions = TARGETS[method.task.target].compute_predictions(method.compute_logits(val.pixels).float()).cpu().numpy()
        scores = method.task.compute_scores(predictions, val)
        return {"lr": self.method.settings.lr} | {f"val/{name}": value for name, value in scores.items()}


def _pool_frames(maps: torch.Tensor) -> torch.Tensor:
    """Maps [n, c, h, w], of clips [n, frames, c, h, w], as [n, c, h, w]."""
    return maps.mean(1) if maps.ndim == 5 else maps


@torch.no_grad()
def _get_map_shape(encoder: Convolutional, task: Task) -> tuple[int, int, int]:
    """Of the last map: channels, height, width."""
    training = encoder.training
    encoder.eval()
    maps = encoder.compute_last_map(encoder.compute_trunk(torch.zeros(1, task.channels, task.size, task.size)))
    encoder.train(training)
    return maps.shape[1], maps.shape[2], maps.shape[3]
