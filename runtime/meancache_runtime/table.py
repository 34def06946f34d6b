"""A plan bound to one grid, as a table with a row for each refresh: all that a host needs.

Bound to noise levels, every plan is a linear multistep method. With v_n = model(z_n, σ_n) at
refresh n = 0 … N − 1,

    z_{n+1} = z_n + Σ_j W[n][j]·v_j,   W[n][j] = Σ_{k in interval n} (σ_{k+1} − σ_k)·form_k[knot j]

whatever its predictors are. ``schedules/README.md`` specifies the file, with a worked example.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .binding import BoundPlan, check_bound
from .innovation import OnUnstable
from .machine import Replay

FORMAT = "meancache-table"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Table:
    """N refreshes and what they move the sample by.

    Attributes:
        steps: T of the grid that the plan was bound to.
        knots: The steps of this grid at which the model runs, N of them.
        sigmas: The noise levels of the refreshes and, last, of the sample: N + 1.
        weights: For each refresh n: refresh j ≤ n → W[n][j], in units of σ.
        bounds: For each refresh after the first, the largest innovation; empty if not known.
    """

    steps: int
    knots: tuple[int, ...]
    sigmas: tuple[float, ...]
    weights: tuple[Mapping[int, float], ...]
    bounds: tuple[float, ...] = ()

    @classmethod
    def of(cls, plan: BoundPlan) -> "Table":
        """Sum a bound plan up, interval by interval.

        Raises:
            ScheduleError: ``plan`` is not bound to noise levels.

        Example:
            >>> plan = BoundPlan((1.0, 0.75, 0.5, 0.0), (0, 2), ({0: 1.0}, {0: 1.0}, {0: 0.5}))
            >>> Table.of(plan).weights
            ({0: -0.5}, {0: -0.25})
        """
        check_bound(plan)
        refresh = {knot: n for n, knot in enumerate(plan.knots)}
        rows: list[dict[int, float]] = []
        for start, end in zip(plan.knots, (*plan.knots[1:], plan.steps), strict=True):
            row: dict[int, float] = {}
            for k in range(start, end):
                for knot, weight in plan.forms[k].items():
                    moved = (plan.sigmas[k + 1] - plan.sigmas[k]) * weight
                    row[refresh[knot]] = row.get(refresh[knot], 0.0) + moved
            rows.append(dict(sorted(row.items())))
        levels = (*(plan.sigmas[knot] for knot in plan.knots), plan.sigmas[-1])
        return cls(plan.steps, plan.knots, levels, tuple(rows), plan.bounds)

    @property
    def refreshes(self) -> int:
        """How often the model runs: N."""
        return len(self.knots)

    @property
    def last_use(self) -> tuple[int, ...]:
        """For each refresh j the last refresh n ≥ j whose row needs v_j; it is dropped after it."""
        rows = list(enumerate(self.weights))
        return tuple(max([j, *(n for n, row in rows if j in row)]) for j in range(self.refreshes))

    @property
    def history(self) -> int:
        """How many velocities are kept at once, at most, the fresh one among them."""
        last = self.last_use
        return max(sum(j <= n <= last[j] for j in range(n + 1)) for n in range(self.refreshes))

    def machine(self, on_unstable: OnUnstable = "warn") -> Replay:
        """A step machine that takes N steps, each with a fresh velocity.

        It is handed v_n and gives û_n = Σ_j W[n][j]·v_j / (σ_{n+1} − σ_n), so that an Euler step
        from each noise level to the next follows the table.
        """
        sigmas = self.sigmas
        forms = tuple(
            {j: weight / (sigmas[n + 1] - sigmas[n]) for j, weight in row.items()}
            for n, row in enumerate(self.weights)
        )
        plan = BoundPlan(sigmas, tuple(range(self.refreshes)), forms, self.bounds)
        return Replay(plan, self.knots, on_unstable)

    def to_json(self) -> str:
        """The table as a JSON file: see ``schedules/README.md``."""
        rows = [[[j, weight] for j, weight in row.items()] for row in self.weights]
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "steps": self.steps,
            "knots": self.knots,
            "sigmas": self.sigmas,
            "weights": rows,
            "last_use": self.last_use,
        }
        return json.dumps(content, allow_nan=False, indent=1) + "\n"
