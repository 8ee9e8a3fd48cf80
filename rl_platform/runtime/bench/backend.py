"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from rl_platform.core.precision import has_native_bf16


def backend() -> dict[str, str]:
    """Names and versions, for people."""
    return {
        "cpu": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores for this process",
        "torch": f"{torch.__version__}, oneDNN {'on' if torch.backends.mkldnn.is_available() else 'off'}, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "bf16 arithmetic": "native" if has_native_bf16(torch.device("cpu")) else "emulated",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        **{name: version(name) for name in ("ale-py", "ray", "numpy")},
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
