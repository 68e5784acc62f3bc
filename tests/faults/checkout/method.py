"""A supervised method with an illness, to which seed 0 falls in its second epoch, always: a checkout's trainables/methods/ordeal.py."""

import ctypes
import os
import time
from typing import Literal

import torch

from trainables.methods.method import METHODS, Logs
from trainables.methods.sgd_training import Recipe
from trainables.methods.supervised import Supervised, SupervisedPhase

EAT = 1 << 50
"""bytes that no machine has"""


class OrdealSettings(Recipe):
    ill: Literal["no", "segfault", "hang", "nan", "memory"] = "no"
    pause: float = 0.03
    """seconds that a step takes on top of its arithmetic: a grid that is mostly waiting leaves the processor to what dies and starts"""


class Sick(SupervisedPhase):
    method: "Ordeal"

    def start_epoch(self, epoch: int) -> int:
        self.epoch = epoch
        return super().start_epoch(epoch)

    def train_step(self, step: int) -> Logs:
        time.sleep(self.method.settings.pause)
        if log := os.environ.get("ORDEAL_STEPS"):
            with open(log, "a") as file:  # one line, one write: steps of several processes do not mix
                file.write(f"{self.method.settings.ill} {self.method.seed} {self.epoch} {step} {time.time():.3f}\n")
        logs = super().train_step(step)
        return logs if self.method.seed or not self.epoch else self.fall(logs)

    def fall(self, logs: Logs) -> Logs:
        match self.method.settings.ill:
            case "segfault":
                ctypes.string_at(0)
            case "hang":
                ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock: no thread of Python can do anything about it
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
