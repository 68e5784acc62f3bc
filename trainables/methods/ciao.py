"""CIAO: a face encoder, frozen or not, and a decision layer, with or without the inhibitory mask (Barros & Sciutti 2022)."""

from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import nn

from trainables.data.augment import normalise_images
from trainables.data.prediction_targets import TARGETS
from trainables.data.task import Images, Task
from trainables.execution import feature_cache
from trainables.execution.cuda_graph import set_learning_rate
from trainables.losses import ciao_loss
from trainables.methods.classifier import DescentPhase
from trainables.methods.method import METHODS, Logs, Method, MethodSettings, Phase
from trainables.models.convolutional import Convolutional
from trainables.models.heads import Decision
from trainables.models.inhibition import Inhibition
from trainables.random_streams import make_generator
from trainables.registry import BadRequest, join_lines

Batch = tuple[torch.Tensor, ...]


class CIAOSettings(MethodSettings):
    """Settings; the defaults are the paper's and, where it does not state them, its published code's."""

    encoder: str = "vgg_face"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    regime: Literal["DL", "LC", "Full"] = "DL"
    """what is trained. DL: the decision layer; LC: the last convolution as well; Full: everything"""
    mask: bool = True
    """true, with CIAO: mask and contrastive loss; false: the decision loss only"""
    head: Decision = Decision()
    temperature: float = Field(0.42417689870668324, gt=0)
    denominator: Literal["negatives", "all"] = "negatives"
    """images that an image's positives are compared with. negatives: those of other labels (our reading of equation 3); all: all images
    (close to the published code)"""
    reduction: Literal["mean", "sum"] = "mean"
    """reduction over a batch's images; the sum, as printed, outweighs the decision loss"""
    features: Literal["mask", "head", "softmax"] = "mask"
    """input of the contrastive loss. mask: the masked map (by the paper, what this loss optimises); head: a dense layer on it; softmax:
    the predictions (the published code)"""
    contrast_units: int = Field(128, ge=2)
    """units of the dense layer that features=head adds"""
    update: Literal["joint", "alternate"] = "joint"
    """joint: one step on the sum of both losses (equation 5); alternate: one step on each, the mask's first (the published code)"""
    optimizer: Literal["SGD", "Adam"] = "Adam"
    lr: float = Field(0.0015620329853823292, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    """SGD's momentum"""
    nesterov: bool = False
    """Nesterov's momentum, for SGD with momentum"""
    batch: int = Field(128, ge=2)
    epochs: int = Field(50, ge=1)


@METHODS.register("ciao")
class CIAO(Method):
    """Three regimes, each with and without the mask.

    Frozen modules stay in evaluation mode and process each image once (see feature_cache.py). The frames of a clip are pooled: its map
    is the mean of its frames' maps.
    """

    Settings = CIAOSettings
    settings: CIAOSettings
    version = 2

    def __init__(self, settings: CIAOSettings, task: Task, seed: int) -> None:
        super().__init__(settings, task, seed)
        encoder = self.build_encoder()
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
        """Take over the parent's encoder; the mask starts as its last convolution. BadRequest if it is another network."""
        state = {name.removeprefix("encoder."): value for name, value in modules.items() if name.startswith("encoder.")}
        try:
            self.encoder.load_state_dict(state)
        except RuntimeError as error:
            raise BadRequest(f"ciao: the parent's encoder is none like {self.settings.encoder} ({join_lines(error)})") from None
        if self.mask is not None:
            self.mask.copy_(self.encoder.last_convolution, self.encoder.last_normalisation)

    def get_trained_modules(self) -> nn.ModuleDict:
        """Return the modules that are trained, and no others."""
        trained: dict[str, nn.Module] = {name: self.modules[name] for name in ("mask", "contrast", "head") if name in self.modules}
        if self.settings.regime == "LC":
            trained["last"] = self.encoder.last_convolution
        elif self.settings.regime == "Full":
            trained["encoder"] = self.encoder
        return nn.ModuleDict(trained)

    def describe_training(self) -> dict[str, Any]:
        return {"updated_parameters": sum(parameter.numel() for parameter in self.get_trained_modules().parameters())}

    def build_network(self) -> nn.Module:
        return Network(self.encoder, self.mask, self._head)

    def build_phases(self) -> list[Phase]:
        return [CIAOPhase(self)]

    # compute_frozen runs once per image, compute_outputs in every step
    def compute_frozen(self, images: torch.Tensor) -> Batch:
        """Return everything that no step changes, of images (float [n, c, s, s]; of clips [n, frames, c, s, s])."""
        if self.settings.regime == "Full":
            return (images,)
        frames, flat = images.shape[1:-3], images.flatten(0, -4)
        trunk_output = self.encoder.compute_trunk(flat)
        if self.settings.regime == "LC":
            return (trunk_output.unflatten(0, (len(images), *frames)),)
        u = self.encoder.compute_last_map(trunk_output)
        if self.mask is None:
            return (self._flatten_maps(_pool_frames(u.unflatten(0, (len(images), *frames)))),)
        return tuple(tensor.unflatten(0, (len(images), *frames)) for tensor in (u, self.encoder.get_last_input(trunk_output)))

    def compute_outputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Map the result of `compute_frozen` to outputs float32 [n, k] and the last map [n, c, h, w], masked if there is a mask.

        In the regime DL without a mask, the second value is the pooled and flattened map [n, d].
        """
        if self.settings.regime == "DL" and self.mask is None:
            return self._apply_dense(batch[0]).float(), batch[0]
        n, frames = len(batch[0]), batch[0].shape[1:-3]
        flat = tuple(tensor.flatten(0, -4) for tensor in batch)
        if self.settings.regime == "DL":
            u, last_input = flat
        else:
            trunk_output = self.encoder.compute_trunk(flat[0]) if self.settings.regime == "Full" else flat[0]
            u, last_input = self.encoder.compute_last_map(trunk_output), self.encoder.get_last_input(trunk_output)
        maps = _pool_frames((u if self.mask is None else self.mask(u, last_input)).unflatten(0, (n, *frames)))
        return self._apply_dense(self._flatten_maps(maps)).float(), maps

    def _flatten_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Apply the head's layers that have no parameters: return pooled and flattened maps [n, d]."""
        result: torch.Tensor = self._head[: self._first](maps)
        return result

    def _apply_dense(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self._head[self._first :](features)
        return result

    @property
    def _head(self) -> nn.Sequential:
        return cast(nn.Sequential, self.modules["head"])

    @property
    def _first(self) -> int:
        return next(index for index, layer in enumerate(self._head) if isinstance(layer, nn.Linear))

    def get_contrasted(self, outputs: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Return the input of the contrastive loss, [n, d]."""
        if self.settings.features == "softmax":
            return TARGETS[self.task.target].compute_predictions(outputs)
        return self.modules["contrast"](maps) if self.settings.features == "head" else maps.flatten(1)

    def get_frozen_features(self, pixels: torch.Tensor) -> Batch | None:
        """Return `compute_frozen` of all images, cached in this process; None if nothing is frozen or the result is too large."""
        settings = self.settings
        if settings.regime == "Full":
            return None
        if self._name is None:
            self.encoder.eval()
            trained_ids = {id(parameter) for parameter in self.get_trained_modules().parameters()}
            frozen = [tensor for tensor in self.encoder.state_dict(keep_vars=True).values() if id(tensor) not in trained_ids]
            pooled = settings.regime == "DL" and not settings.mask and settings.head.pool
            part = (settings.encoder, settings.regime, settings.regime == "DL" and settings.mask, pooled, str(self.execution))
            self._name = f"{part} {feature_cache.hash_tensors(frozen)}"
        return feature_cache.get_or_compute(self._name, pixels, self.compute_frozen)

    @torch.no_grad()
    def compute_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        self.modules.eval()
        features, outputs = self.get_frozen_features(pixels), []
        for start in range(0, len(pixels), feature_cache.BATCH):
            batch_slice = slice(start, start + feature_cache.BATCH)
            outputs.append(
                self.compute_outputs(
                    tuple(tensor[batch_slice] for tensor in features)
                    if features
                    else self.compute_frozen(normalise_images(pixels[batch_slice]))
                )[0]
            )
        return torch.cat(outputs)


class Network(nn.Module):
    """Encoder, mask if there is one, and decision layer as one module: float images [n, c, s, s], or clips [n, frames, c, s, s], to
    outputs [n, k].

    The output of `last_map` is the last convolution's map of each image or frame, after its ReLU and masked if there is a mask.
    """

    def __init__(self, encoder: Convolutional, mask: Inhibition | None, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.mask, self.last_map, self.head = encoder, mask, nn.Identity(), head
        self.layer_names = {"last_map": "last convolution" if mask is None else "masked last convolution"}
        """what a sheet of maps calls a layer"""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        trunk_output = self.encoder.compute_trunk(images.flatten(0, -4))
        u = self.encoder.compute_last_map(trunk_output)
        maps = self.last_map(u if self.mask is None else self.mask(u, self.encoder.get_last_input(trunk_output)))
        result: torch.Tensor = self.head(_pool_frames(maps.unflatten(0, images.shape[:-3])))  # `len` would fix it in an exported graph
        return result


class CIAOPhase(DescentPhase):
    """Each step trains on one batch: on the decision loss, and on the contrastive loss if there is a mask."""

    name = "fit"
    method: CIAO

    def __init__(self, method: CIAO) -> None:
        self.method, self.epochs, self.model = method, method.settings.epochs, method.get_trained_modules()

    def begin_phase(self) -> None:
        method = self.method
        method.modules.requires_grad_(False)
        self.model.requires_grad_(True)
        method.modules.eval()
        self.masks = [
            parameter for name, module in self.model.named_children() if name in ("mask", "contrast") for parameter in module.parameters()
        ]
        self.others = [
            parameter for parameter in self.model.parameters() if not any(parameter is mask_parameter for mask_parameter in self.masks)
        ]
        super().begin_phase()
        self.batch = min(method.settings.batch, len(self.train_images.labels))
        self.kept = method.get_frozen_features(self.train_images.pixels)

    def make_optimizer(self) -> torch.optim.Optimizer:
        settings, parameters = self.method.settings, [*self.masks, *self.others]
        if settings.optimizer == "SGD":
            nesterov = settings.nesterov and settings.momentum > 0
            return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=True)
        recorded = self.method.execution.recorded  # a graph keeps the step count on the GPU
        return torch.optim.Adam(parameters, lr=settings.lr, fused=True, capturable=recorded)

    @property
    def train_images(self) -> Images:
        return self.method.task.train

    def start_epoch(self, epoch: int) -> int:
        order = make_generator(self.method.seed, "order", self.name, epoch).permutation(len(self.train_images.labels))
        self.order = torch.from_numpy(order).to(self.method.task.device)
        set_learning_rate(self.optimizer, self.method.settings.lr, self.update_parameters)
        return len(order) // self.batch

    def count_images(self) -> int:
        return self.batch

    def train_step(self, step: int) -> Logs:
        train, rows = self.train_images, self.method.shard.get_part(self.order[step * self.batch : (step + 1) * self.batch])
        values = () if train.values is None else (train.values[rows],)
        return self.update_parameters(train.labels[rows], *values, *self.get_batch(rows))

    def train_batch(self, *batch: torch.Tensor) -> Logs:
        method, losses = self.method, type(self).compute_losses
        decision, contrast, unpaired = self.compute(losses, *batch)
        if method.mask is None:
            return self.descend(decision, {"train/loss": decision.detach()}, self.others)
        if method.settings.update == "joint":
            logs = {"train/decision": decision.detach(), "train/contrast": contrast.detach(), "train/alone": unpaired}
            logs = self.descend(decision + contrast, logs, [*self.masks, *self.others])
        else:
            contrast_logs = self.descend(contrast, {"train/contrast": contrast.detach(), "train/alone": unpaired}, self.masks)
            decision, _, _ = self.compute(losses, *batch)
            logs = self.descend(decision, {"train/decision": decision.detach()}, self.others) | contrast_logs
        return {"train/loss": logs["train/decision"] + logs["train/contrast"], **logs, "mask/a": method.mask.a.detach().mean()}

    def get_batch(self, rows: torch.Tensor) -> Batch:
        """Return the values of `CIAO.compute_frozen` for these images."""
        if self.kept is not None:
            return tuple(tensor[rows] for tensor in self.kept)
        with torch.no_grad(), self.method.execution.autocast(self.method.task.device):
            return self.method.compute_frozen(normalise_images(self.train_images.pixels[rows]))

    def compute_losses(self, labels: torch.Tensor, *batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return decision loss, contrastive loss, and share of images whose label no other has; without a mask the last two are 0.

        `batch` is the images' values, if the data set has any, and then the values of `CIAO.compute_frozen`.
        """
        method, settings = self.method, self.method.settings
        values, frozen = (None, batch) if self.train_images.values is None else (batch[0], batch[1:])
        outputs, maps = method.compute_outputs(frozen)
        decision = TARGETS[method.task.target].compute_loss(outputs, labels, values)
        if method.mask is None:
            return decision, torch.zeros_like(decision), torch.zeros_like(decision)
        compared, labels = method.shard.gather_features(method.get_contrasted(outputs, maps), labels, views=1)
        return decision, *ciao_loss(compared, labels, settings.temperature, settings.denominator, settings.reduction)

    def finish_epoch(self, epoch: int) -> dict[str, float]:
        method, val = self.method, self.method.task.val
        predictions = TARGETS[method.task.target].compute_predictions(method.compute_logits(val.pixels).float()).cpu().numpy()
        scores = method.task.compute_scores(predictions, val)
        return super().finish_epoch(epoch) | {f"val/{name}": value for name, value in scores.items()}


def _pool_frames(maps: torch.Tensor) -> torch.Tensor:
    """Return maps [n, c, h, w]; maps of clips [n, frames, c, h, w] are averaged over the frames."""
    return maps.mean(1) if maps.ndim == 5 else maps


@torch.no_grad()
def _get_map_shape(encoder: Convolutional, task: Task) -> tuple[int, int, int]:
    """Return channels, height and width of the last map."""
    training = encoder.training
    encoder.eval()
    maps = encoder.compute_last_map(encoder.compute_trunk(torch.zeros(1, task.channels, task.size, task.size)))
    encoder.train(training)
    return maps.shape[1], maps.shape[2], maps.shape[3]
