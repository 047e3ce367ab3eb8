"""The processes that train together, one a GPU: who does which share, and how their shares become one result.

A run is one process unless `torchrun` or `accelerate launch` started several. Every process holds the whole model (or,
sharded, its part of each layer) and goes through the same stages in the same order; the server's micro-batches and the
inputs of prediction are shared out. All that happens together is a sum of gradients, a gathering of answers, and
decisions taken over from the main process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fedmeki_bench.errors import UsageError

__all__ = ["Processes", "current_processes"]

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: as long as what the main process may do alone (demo data, scoring).

The launchers end all processes at once when one fails, so nobody waits this long for the dead.
"""


class Processes:
    """The processes of this run, as seen from one of them.

    Attributes:
        rank: this process's number, from 0.
        count: how many there are.

    Args:
        state: accelerate's `PartialState`; None if this process is the only one.
    """

    def __init__(self, state: Any = None) -> None:
        self._state = state
        self.rank: int = state.process_index if state else 0
        self.count: int = state.num_processes if state else 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and talks to the person watching."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device for this process: the GPU of its own number, or the CPU; `name` itself for a single process.

        Raises:
            UsageError: one particular GPU was asked for, for all.
        """
        if self._state is None:
            return name
        if name not in ("auto", "cpu", "cuda"):
            raise UsageError(
                f"{self.count} processes cannot share one device",
                expected="--device auto, cuda or cpu: each process then takes its own",
                found=name,
            )
        return str(self._state.device)

    def share(self, sequence: Sequence[T]) -> Sequence[T]:
        """This process's share: every `count`-th element, from its own number on."""
        return sequence[self.rank :: self.count]

    def turns(self, length: int) -> int:
        """How many elements the largest share of a sequence of that length has."""
        return -(-length // self.count)

    def sum(self, value: float) -> float:
        """The sum of all processes' values."""
        if self._state is None:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self._state.device)
        torch.distributed.all_reduce(total)
        return float(total)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by the sum over all processes; one that a process lacks counts as zeros there.

        A parameter without a gradient in any process stays without: the optimiser passes over it, as in one process.
        """
        if self._state is None:
            return
        present = torch.tensor([float(one.grad is not None) for one in parameters], device=self._state.device)
        torch.distributed.all_reduce(present)
        for parameter, holders in zip(parameters, present.tolist(), strict=True):
            if holders:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)

    def gather(self, values: Sequence[T]) -> list[T]:
        """The values of all processes, in the order of their numbers, in every process."""
        if self._state is None:
            return list(values)
        from accelerate.utils import gather_object

        gathered: list[T] = gather_object(list(values))
        return gathered

    def agreed(self, value: T) -> T:
        """The main process's value: a decision made from files must be the same everywhere, whoever looks later."""
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        values: list[T] = broadcast_object_list([value])
        return values[0]

    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the main process's, in place.

        What every process computes for itself may differ in the last bit between devices; afterwards it does not.
        """
        if self._state is None:
            return
        for tensor in tensors:
            there = tensor.detach().to(self._state.device)
            torch.distributed.broadcast(there, src=0)
            with torch.no_grad():
                tensor.copy_(there)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process passes through the block before the others do: it fills caches that they then read."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def leave(self) -> None:
        """Part from the others at the end of a run that went well."""
        if self._state is not None:
            self._state.destroy_process_group()


def current_processes(device: str = "auto") -> Processes:
    """The processes that a launcher started (it sets WORLD_SIZE and the like), or this one alone.

    Args:
        device: what the run computes on; decides, at the first call, how the processes talk (NCCL for GPUs, gloo for
            the CPU).

    Raises:
        UsageError: the launcher's variables are incomplete, or there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) <= 1:
        return Processes()
    needed = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    absent = [name for name in needed if name not in os.environ]
    if absent:
        raise UsageError(
            f"WORLD_SIZE says {os.environ['WORLD_SIZE']} processes, but not how to find them",
            expected=f"the variables {', '.join(needed)}",
            found=f"no {', '.join(absent)}",
            fix="start with `torchrun` or `accelerate launch`, or unset WORLD_SIZE for one process",
        )
    from accelerate import PartialState

    cpu = device == "cpu" or not torch.cuda.is_available()
    if not cpu and int(os.environ["LOCAL_RANK"]) >= torch.cuda.device_count():
        raise UsageError(
            "more processes than GPUs",
            expected=f"at most {torch.cuda.device_count()} on this machine",
            found=f"process {os.environ['LOCAL_RANK']}, counted from 0",
        )
    return Processes(PartialState(cpu=cpu, timeout=PATIENCE, **({"backend": "gloo"} if cpu else {})))
