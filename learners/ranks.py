"""Learner ranks: processes that share every update by adding tensors, and how they meet."""

import os
import socket
from datetime import timedelta
from typing import Literal, NamedTuple, Protocol

import torch.distributed as dist
from torch import Tensor

CommunicationBackend = Literal["gloo", "nccl"]


class Ranks(Protocol):
    """All learner ranks, as one of them sees them."""

    index: int
    """Of this rank, from 0."""
    count: int

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over the ranks, bit for bit the same on each of them.

        Every rank calls it with the same shape and dtype, in the same order.

        Raises:
          RuntimeError: another rank is dead, or did not come in time. Nothing can be summed with it any more.
        """


class OneRank:
    """A learner on its own: every sum is there already."""

    index = 0
    count = 1

    def sum(self, tensor: Tensor) -> None:
        """Nothing is to be added."""


ONE_RANK = OneRank()


class ProcessRanks:
    """Ranks in processes of their own, joined by `join_ranks`; a group of theirs, not torch's default one."""

    def __init__(self, group: dist.ProcessGroup | dist.ProcessGroupGloo, *, index: int, count: int):
        self.index, self.count = index, count
        self._group = group

    def sum(self, tensor: Tensor) -> None:
        self._group.allreduce([tensor]).wait()

    def close(self) -> None:
        """Leave: the others' present or next `sum` raises. The process may join another group afterwards."""
        self._group.abort()


class Address(NamedTuple):
    """Where the ranks of one group meet."""

    host: str
    port: int


def host_ranks(host: str, *, timeout_s: float) -> tuple[Address, dist.TCPStore]:
    """Open the place where the ranks of one group meet: for rank 0, which keeps the store and tells the others where.

    It listens at `host` alone, an address or name of this machine that the others reach, on any free port.
    """
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family)
    port = listener.getsockname()[1]
    store = dist.TCPStore(host, port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=timeout_s),
                          master_listen_fd=listener.detach())  # fmt: skip
    return Address(host, port), store


def join_ranks(address: Address, *, backend: CommunicationBackend, index: int, count: int, timeout_s: float,
               store: dist.TCPStore | None = None) -> ProcessRanks:  # fmt: skip
    """Meet the other ranks at `address`; returns when all `count` of them are there.

    Args:
      timeout_s: how long to wait for the others, here and in every `sum`.
      store: what `host_ranks` returned, for the rank that called it.

    Raises:
      ValueError: this PyTorch lacks the backend.
      RuntimeError: a rank did not come in time.
    """
    timeout = timedelta(seconds=timeout_s)
    make_group = {"gloo": _gloo_group, "nccl": _nccl_group}[backend]
    if store is None:
        store = dist.TCPStore(address.host, address.port, is_master=False, timeout=timeout)
    return ProcessRanks(make_group(store, index, count, timeout), index=index, count=count)


def _gloo_group(store: dist.TCPStore, index: int, count: int, timeout: timedelta) -> dist.ProcessGroupGloo:
    """Over the network through which rank 0 is reached (loopback, for one machine), or GLOO_SOCKET_IFNAME's."""
    if "GLOO_SOCKET_IFNAME" in os.environ:  # read by the constructor
        return dist.ProcessGroupGloo(store, index, count, timeout)
    options = dist.ProcessGroupGloo._Options()
    options._timeout = timeout
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=_own_address(store.host))]
    return dist.ProcessGroupGloo(store, index, count, options)


def _nccl_group(store: dist.TCPStore, index: int, count: int, timeout: timedelta) -> dist.ProcessGroup:
    if not dist.is_nccl_available():
        raise ValueError("this PyTorch has no nccl: install its CUDA build, or let the ranks use gloo")
    # Otherwise `wait` returns at once, and a watchdog thread ends the whole process at the timeout.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timeout
    return dist.ProcessGroupNCCL(store, index, count, options)


def _own_address(host: str) -> str:
    """This machine's address on the way to `host`. Connecting a datagram socket sends nothing: it picks the route."""
    family, _, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return probe.getsockname()[0]
