"""Arithmetic: in which precision and memory layout a training computes, and whether its steps run eagerly, compiled or recorded."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, TypeVar

import torch

Precision = Literal["fp32", "bf16"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ExecutionConfig:
    """How a step is computed. The numbers of two arithmetics agree to their rounding, those of one to the last bit."""

    precision: Precision = "fp32"
    """bf16: convolutions and matrix products as autocast has them; parameters, sums and losses stay in fp32"""
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    compiled: bool = False
    """the forward pass and the loss go through torch.compile, whose cache on the disk all processes of a machine share"""
    recorded: bool = False
    """a whole step is recorded as a CUDA graph and replayed: for a GPU, where hundreds of launches take longer than their work"""

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format

    def autocast(self, device: torch.device) -> Any:
        """A context for forward passes."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def call_compiled(self, function: Callable[..., Answer], *given: Any) -> Answer:
        """The function's answer: compiled, if so chosen and as long as that works.

        `function` is a plain function, one object for all cells: what it closes over would be compiled for each anew.
        """
        if not self.compiled or function in _FAILED:
            return function(*given)
        try:
            return _compile_function(function)(*given)
        except Exception as error:
            if not is_compiler_error(error):
                raise
            _FAILED.add(function)
            print(f"not compiled, and slower for it: {format_error(error)}", file=sys.stderr)
            return function(*given)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        how = "recorded " * self.recorded + ("compiled" if self.compiled else "eager")
        return f"{self.precision}, {self.layout}, {how}"


REFERENCE = ExecutionConfig()
"""what a choice is held against: fp32, eager; channels_last, in which convolutions are faster on CPU and GPU"""

_FAILED: set[Callable[..., Any]] = set()


@cache
def _compile_function(function: Callable[..., Answer]) -> Callable[..., Answer]:
    import torch._dynamo as dynamo

    dynamo.config.recompile_limit = 64  # a method, a batch and a number of classes each take one; beyond the limit it is eager, unsaid
    return torch.compile(function, dynamic=False)


def is_compiler_error(error: Exception) -> bool:
    """Whether it is the compiler that failed, not what was to be compiled."""
    module = type(error).__module__
    return module.startswith(("torch._dynamo", "torch._inductor", "torch._functorch"))


def format_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0]
