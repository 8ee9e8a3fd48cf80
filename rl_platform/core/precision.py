"""Which numeric type the network computes in. Weights, optimiser and returns are float32 whatever it is."""

from pathlib import Path
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]


def resolve_precision(name: Precision, device: torch.device, *, observation_dtype: str) -> torch.dtype:
    """The type named; for `auto`, bfloat16 where the device multiplies it natively and observations are bytes.

    Bytes are exact in bfloat16, whose significand has 8 bits; the vectors of small control tasks are not, and their
    networks are too small to gain (docs/decisions/precision.md).
    """
    if name == "auto":
        return torch.bfloat16 if observation_dtype == "uint8" and has_native_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def has_native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is an instruction here rather than an emulation, which is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch's own test for the CPU is private and changes between releases; the kernel's flags do not.
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpuinfo.read_text().split())
