"""Contrastive training with the usual tools, as baselines for benchmarks.training.

The network, the loss and the learning rate schedule are ferray's. B0 follows the public SupContrast recipe: an image folder, PIL
transforms, a DataLoader whose workers restart each epoch, fp32, the loss read after every step, one process for each training. B1 is a
plain Ray Tune function with a DataLoader, with as many trainings at once as slots. B2 is B1 after an hour of tuning: decoded images in
memory, persistent workers, bf16, channels_last. B2c adds torch.compile to B2.
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
"""pairs of views in a batch"""


@dataclass(frozen=True)
class Plan:
    """The settings of one training."""

    arm: str
    folder: str
    """holds train/ with class folders of PNG files, and held-out.npz"""
    encoder: str
    encoder_settings: dict[str, Any]
    epochs: int
    seed: int
    workers: int
    """worker processes of its DataLoader"""
    threads: int | None
    lr: float
    hidden: int
    projection: int

    @property
    def tuned(self) -> bool:
        return self.arm.startswith("B2")


class Folder(ImageFolder):
    """Grey images, each in two augmented views. With `keep` every image is decoded only once."""

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
    """Train, and return views per second (median over epochs without the first) and a probe's accuracy on held-out images."""
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
    durations = []
    for epoch in range(plan.epochs):
        optimizer.param_groups[0]["lr"] = recipe.get_learning_rate(epoch / plan.epochs, plan.lr)
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
        durations.append(time.perf_counter() - began)
    views = 2 * BATCH * len(loader)
    return {"views_s": views / median(durations[1:] or durations), "accuracy": probe(encoder, plan.folder, device)}


@torch.no_grad()
def features(encoder: nn.Module, pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    encoder.eval()
    parts = torch.from_numpy(pixels).split(256)
    return torch.cat([encoder(part.to(device).float().div(127.5).sub(1)).float().cpu() for part in parts])


def probe(encoder: nn.Module, folder: str, device: torch.device) -> float:
    """Return the accuracy on held-out images of a logistic regression on the training images' features. It is the same for every arm."""
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
    """Run every plan as a Ray Tune trial, `slots` at once."""
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
    results = tuner.fit()
    if results.num_errors:
        raise SystemExit(str(results.errors[0]))
    return [{name: result.metrics[name] for name in ("views_s", "accuracy")} for result in results]


def processes(plans: list[Plan], slots: int) -> list[dict[str, float]]:
    """Run every plan in its own process, `slots` at once."""

    def one(plan: Plan) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.baselines", "fit", json.dumps(asdict(plan))]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(one, plans))


def main() -> None:
    """Run `fit PLAN` or `all PLANS SLOTS`, and print one line of JSON."""
    command, argument = sys.argv[1], json.loads(sys.argv[2])
    if command == "fit":
        print(json.dumps(fit(Plan(**argument))))
        return
    plans, slots = [Plan(**plan) for plan in argument], int(sys.argv[3])
    alone = plans[0].arm == "B0" or not find_spec("ray")
    print(json.dumps(processes(plans, slots) if alone else tune_all(plans, slots)))


if __name__ == "__main__":
    main()
