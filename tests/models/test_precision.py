"""The choice of numeric type, and the allocator's settings."""

import subprocess
import sys

import pytest
import torch

from rl_platform.core.precision import has_native_bf16, resolve_precision

CPU = torch.device("cpu")


def test_named_precisions_are_taken_literally():
    assert resolve_precision("fp32", CPU, observation_dtype="uint8") is torch.float32
    assert resolve_precision("bf16", CPU, observation_dtype="float32") is torch.bfloat16


def test_auto_is_bf16_for_bytes_where_the_processor_has_it():
    expected = torch.bfloat16 if has_native_bf16(CPU) else torch.float32
    assert resolve_precision("auto", CPU, observation_dtype="uint8") is expected
    assert resolve_precision("auto", CPU, observation_dtype="float32") is torch.float32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_kept_memory_is_not_faulted_in_again():
    """Twenty 64 MB tensors of 16,384 pages each, made and freed in turns once the heap has found its shape."""
    program = """
import resource, torch
from rl_platform.core.allocator import keep_freed_memory
torch.zeros(1 << 24)
if not keep_freed_memory(): print("no effect here"); raise SystemExit
for _ in range(20): torch.zeros(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.zeros(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    if answer == "no effect here":
        pytest.skip("the C library is not glibc")
    assert int(answer) < 2 * 16_384
