"""Contrastive training as it is done elsewhere, for benchmarks.training to hold ours against. The network, the
loss and the falling rate are ours.

B0, the public SupContrast recipe's way: an image folder, PIL transforms, a DataLoader whose workers start anew each epoch, fp32, the
loss read after every step, one process a training. B1, a plain Ray Tune function with a DataLoader, as many at once as cores. B2, the
same tuned for an hour: decoded images kept, persistent workers, bf16, channels_last; and B2c with torch.compile besides.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from trainables import models
from trainables.losses import supcon_loss
from trainables.methods.contrastive import ContrastiveRecipe
from trainables.models.heads import Projection

BATCH = 16
"""pairs of views"""


@dataclass(frozen=True)
class Plan:
    """One training."""

    arm: str
    folder: str
    """class folders of PNG files, and held-out.npz"""
    encoder: str
    encoder_settings: dict[str, Any]
    epochs: int
    seed: int
    workers: int
    """of its DataLoader"""
    threads: int | None
    lr: float
    hidden: int
    projection: int

    @property
    def tuned(self) -> bool:
        return self.arm.startswith("B2")


class Folder(ImageFolder):
    """Grey images in two augmented views each; decoded once, if they are to be kept."""

    def __init__(self, folder: str, keep: bool) -> None:
        super().__init__(f"{folder}/train", loader=lambda path: Image.open(path).convert("L"))
        jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
        self.view = transforms.Compose([
            transforms.RandomResizedCrop(48, scale=(0.8, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([jitter], p=0.8),
            transforms.ToTensor(),
            transforms.Normalize((0.5,), (0.5,)),
        ])  # fmt: skip
        self.kept = [self.loader(path) for path, _ in self.samples] if keep else None

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        path, label = self.samples[index]
        image = self.kept[index] if self.kept else self.loader(path)
        return self.view(image), self.view(image), label


def fit(plan: Plan) -> dict[str, float]:
    """Train; returns views a second (the median epoch, the first left out) and the accuracy of a probe on held-out images."""
    if plan.threads:
        torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = Folder(plan.folder, keep=plan.tuned)
    persistent = plan.tuned and plan.workers > 0
    pinned = plan.tuned and device.type == "cuda"
    loader = DataLoader(data, BATCH, True, num_workers=plan.workers, drop_last=True, persistent_workers=persistent, pin_memory=pinned)
    encoder: Any = models.build_encoder(plan.encoder, channels=1, size=48, **plan.encoder_settings)
    model: nn.Module = nn.Sequential(encoder, Projection(encoder.features, plan.hidden, plan.projection)).to(device)
    if plan.tuned:
        model = model.to(memory_format=torch.channels_last)
    forward = torch.compile(model) if plan.arm == "B2c" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=plan.lr, momentum=0.9, weight_decay=1e-4)
    recipe = ContrastiveRecipe()
    model.train()
    took = []
    for epoch in range(plan.epochs):
        optimizer.param_groups[0]["lr"] = recipe.get_learning_rate(epoch, plan.epochs, plan.lr)
        began = time.perf_counter()
        for first, second, labels in loader:
            images, labels = torch.cat((first, second)).to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=plan.tuned):
                loss, _ = supcon_loss(forward(images), labels.repeat(2), 0.07)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not plan.tuned:
                loss.item()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    views = 2 * BATCH * len(loader)
    return {"views_s": views / median(took[1:] or took), "accuracy": probe(encoder, plan.folder, device)}


@torch.no_grad()
def features(encoder: nn.Module, pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    encoder.eval()
    parts = torch.from_numpy(pixels).split(256)
    return torch.cat([encoder(part.to(device).float().div(127.5).sub(1)).float().cpu() for part in parts])


def probe(encoder: nn.Module, folder: str, device: torch.device) -> float:
    """Accuracy on the held-out images of a logistic regression on the training images' features: the same for every arm."""
    with np.load(f"{folder}/held-out.npz") as arrays:
        train, test = features(encoder, arrays["train"], device), features(encoder, arrays["test"], device)
        labels, truth = torch.from_numpy(arrays["train_labels"]), torch.from_numpy(arrays["test_labels"])
    mean, spread = train.mean(0), train.std(0).clamp(min=1e-6)
    train, test = (train - mean) / spread, (test - mean) / spread
    layer = nn.Linear(train.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(train), labels) + 1e-2 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float((layer(test).argmax(1) == truth).float().mean())


def tune_all(plans: list[Plan], slots: int) -> list[dict[str, float]]:
    """Every plan a Ray Tune trial, `slots` at once."""
    import ray
    from ray import tune

    gpu = 1 / slots if torch.cuda.is_available() else 0
    ray.init(num_cpus=slots, log_to_driver=False, logging_level="ERROR", include_dashboard=False)

    def trainable(config: dict[str, Any]) -> None:
        tune.report(fit(Plan(**config["plan"])))

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": gpu}),
        param_space={"plan": tune.grid_search([asdict(plan) for plan in plans])},
        run_config=tune.RunConfig(verbose=0, storage_path=str(Path(plans[0].folder).parent / "ray")),
    )
    found = tuner.fit()
    if found.num_errors:
        raise SystemExit(str(found.errors[0]))
    return [{name: result.metrics[name] for name in ("views_s", "accuracy")} for result in found]


def processes(plans: list[Plan], slots: int) -> list[dict[str, float]]:
    """Every plan a process of its own, `slots` at once."""

    def one(plan: Plan) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.baselines", "fit", json.dumps(asdict(plan))]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(one, plans))


def main() -> None:
    """`fit PLAN`, or `all PLANS SLOTS`; prints one line of JSON."""
    what, given = sys.argv[1], json.loads(sys.argv[2])
    if what == "fit":
        print(json.dumps(fit(Plan(**given))))
        return
    plans, slots = [Plan(**each) for each in given], int(sys.argv[3])
    alone = plans[0].arm == "B0" or not find_spec("ray")
    print(json.dumps(processes(plans, slots) if alone else tune_all(plans, slots)))


if __name__ == "__main__":
    main()
