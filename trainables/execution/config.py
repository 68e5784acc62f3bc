"""Execution configuration: precision and memory layout of a training, and whether its steps run eagerly, compiled or as a CUDA graph."""

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
    """How a step is computed. Numbers of two configurations agree up to rounding, numbers of one configuration to the last bit."""

    precision: Precision = "fp32"
    """bf16: convolutions and matrix products as under autocast. Parameters, sums and losses stay in fp32."""
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    compiled: bool = False
    """The forward pass and the loss go through torch.compile. All processes of a machine share its cache on disk."""
    recorded: bool = False
    """A whole step is captured as a CUDA graph and replayed. On a GPU, launching hundreds of kernels takes longer than their work."""

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format

    def autocast(self, device: torch.device) -> Any:
        """Return a context manager for forward passes."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def call_compiled(self, function: Callable[..., Answer], *given: Any) -> Answer:
        """Return the function's result. The call is compiled if the configuration says so, until compilation fails.

        `function` must be a plain function, one object for all cells: a closure would be compiled again for each cell.
        """
        if not self.compiled or function in _FAILED:
            return function(*given)
        try:
            result: Answer = _compile_function(function)(*given)
            return result
        except Exception as error:
            if not is_compiler_error(error):
                raise
            _FAILED.add(function)
            print(f"torch.compile failed, and steps run slower: {format_error(error)}", file=sys.stderr)
            return function(*given)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        mode = "recorded " * self.recorded + ("compiled" if self.compiled else "eager")
        return f"{self.precision}, {self.layout}, {mode}"


REFERENCE = ExecutionConfig()
"""The baseline of autotuning: fp32, eager, and channels_last, in which convolutions are faster on CPU and GPU."""

_FAILED: set[Callable[..., Any]] = set()


@cache
def _compile_function(function: Callable[..., Answer]) -> Callable[..., Answer]:
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor

    inductor.fallback_random = True  # dropout draws the numbers that it draws in eager mode
    dynamo.config.recompile_limit = 64  # each method, batch and number of classes takes one; beyond the limit PyTorch silently runs eagerly
    return torch.compile(function, dynamic=False)


def is_compiler_error(error: Exception) -> bool:
    """Return whether the compiler itself failed, rather than the code that it was to compile."""
    module = type(error).__module__
    return module.startswith(("torch._dynamo", "torch._inductor", "torch._functorch"))


def format_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0]
