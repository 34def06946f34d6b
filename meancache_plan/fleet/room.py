"""What a worker is given, and how many of these a cluster has room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Machine = Mapping[str, float]
"""How many a machine has, by kind: CPU, GPU."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker is given.

    Attributes:
        gpus: Whole GPUs of a process.
        threads: Threads of a process's libraries, and CPUs of the cluster where it has no GPU.
        gang: Processes that are one worker together, on one machine if there is one for them.
    """

    gpus: int
    threads: int = 1
    gang: int = 1

    @property
    def kind(self) -> str:
        """What decides how many there is room for."""
        return "GPU" if self.gpus else "CPU"

    @property
    def share(self) -> dict[str, float]:
        """What a process takes of its machine."""
        return {"GPU": self.gpus, "CPU": 1} if self.gpus else {"CPU": self.threads}

    @property
    def wanted(self) -> int:
        """How many of this kind a worker takes."""
        return (self.gpus or self.threads) * self.gang

    def times(self, machines: Sequence[Machine]) -> int:
        """How many of these machines have room for; a gang is divided only if none holds it."""
        places = [self._places(each) for each in machines]
        return sum(each // self.gang for each in places) or sum(places) // self.gang

    def holds(self, machine: Machine) -> bool:
        """Whether one machine has room for a whole worker."""
        return self._places(machine) >= self.gang

    def options(self) -> dict[str, Any]:
        """A process's share as an actor's options."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        share = {"num_gpus": self.gpus, "num_cpus": self.share["CPU"]}
        return {**share, "runtime_env": {"env_vars": threads}}

    def missing(self, machines: Sequence[Machine]) -> str:
        """Why there is no room for a single worker, in a person's words."""
        has = sum(int(each.get(self.kind, 0)) for each in machines)
        many = self.kind if self.wanted == 1 else f"{self.kind}s"
        who = "a worker" if self.gang == 1 else f"a gang of {self.gang}"
        together = ", on several machines" if has >= self.wanted else ""
        return (
            f"{who} takes {self.wanted} {many}, but the cluster has {has}{together}: give fewer, "
            "or add nodes"
        )

    def _places(self, machine: Machine) -> int:
        """Processes that it has room for."""
        return int(machine.get(self.kind, 0)) // (self.gpus or self.threads)
