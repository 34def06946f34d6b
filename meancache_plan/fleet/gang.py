"""A gang: processes that share a model, and do the same at the same time."""

from dataclasses import dataclass
from typing import Any

import torch

distributed: Any = torch.distributed  # of which not all has types


@dataclass(frozen=True, slots=True)
class Seat:
    """A process's place in a gang.

    Attributes:
        rank: Its number, from 0.
        size: How many they are.
        host, port: Where they find each other.
        name: The gang's own name there.
        backend: How they talk: "nccl" between GPUs, "gloo" between CPUs.
    """

    rank: int
    size: int
    host: str
    port: int
    name: str
    backend: str

    def take(self) -> None:
        """Wait for the others; they are the default group of torch.distributed from then on."""
        store = distributed.PrefixStore(self.name, distributed.TCPStore(self.host, self.port))
        distributed.init_process_group(
            self.backend, store=store, rank=self.rank, world_size=self.size
        )


class Meeting:
    """Where the processes of gangs find each other: a store that this process keeps.

    Args:
        host: The address by which others reach this machine.
    """

    def __init__(self, host: str) -> None:
        self._store = distributed.TCPStore(host, 0, is_master=True, wait_for_workers=False)
        self._gangs = 0

    def seats(self, size: int, backend: str) -> list[Seat]:
        """The places in another gang."""
        self._gangs += 1
        at = self._store.host, self._store.port, f"gang {self._gangs}"
        return [Seat(rank, size, *at, backend) for rank in range(size)]
