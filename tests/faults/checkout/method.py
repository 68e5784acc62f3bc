"""A supervised method whose seed 0 always has a fault in its second epoch. A checkout has it as trainables/methods/ordeal.py."""

import ctypes
import os
import time
from typing import Literal

import torch

from trainables.methods.method import METHODS, Logs
from trainables.methods.sgd_training import Recipe
from trainables.methods.supervised import Supervised, SupervisedPhase

EAT = 1 << 50
"""bytes, more than any machine has"""


class OrdealSettings(Recipe):
    ill: Literal["no", "segfault", "hang", "nan", "memory"] = "no"
    pause: float = 0.03
    """seconds that each step waits. A grid that mostly waits leaves the processor to the processes that die and start."""


class Sick(SupervisedPhase):
    method: "Ordeal"

    def start_epoch(self, epoch: int) -> int:
        self.epoch = epoch
        return super().start_epoch(epoch)

    def train_step(self, step: int) -> Logs:
        time.sleep(self.method.settings.pause)
        if log := os.environ.get("ORDEAL_STEPS"):
            with open(log, "a") as file:  # each line is one write, so that lines of several processes do not mix
                file.write(f"{self.method.settings.ill} {self.method.seed} {self.epoch} {step} {time.time():.3f}\n")
        logs = super().train_step(step)
        return logs if self.method.seed or not self.epoch else self.fall(logs)

    def fall(self, logs: Logs) -> Logs:
        match self.method.settings.ill:
            case "segfault":
                ctypes.string_at(0)
            case "hang":
                ctypes.PyDLL(None).sleep(3600)  # holds the GIL, so that no Python thread can interrupt it
            case "memory":
                torch.empty(EAT, dtype=torch.uint8)
            case "nan":
                return logs | {"train/loss": torch.tensor(float("nan"))}
        return logs


@METHODS.register("ordeal")
class Ordeal(Supervised):
    Settings = OrdealSettings
    settings: OrdealSettings

    phase_class = Sick
