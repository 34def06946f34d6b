"""A trajectory's columns: what its predictors are made of, and what its steps moved with.

They are v₀ … v_{T−1} and, where its steps are not Euler's, after these what the steps moved with
instead: w_i = (z_{i+1} − z_i)/(σ_{i+1} − σ_i). So the last T columns are always what u(t→s)
averages, and the first T what predictors are made of.
"""

from functools import lru_cache

from meancache_runtime.binding import LinearForm


@lru_cache(maxsize=8)
def own_velocities(steps: int) -> tuple[LinearForm, ...]:
    """Return the forms of v₀ … v_{T−1} on a full run, where every step has its own."""
    return single_columns(range(steps))


@lru_cache(maxsize=8)
def single_columns(columns: range) -> tuple[LinearForm, ...]:
    """Return the form of each of these columns alone."""
    return tuple({column: 1.0} for column in columns)


def displacement_columns(steps: int, columns: int) -> range:
    """Return which columns are what the steps moved with: the last T.

    Example:
        >>> displacement_columns(3, 3), displacement_columns(3, 6)
        (range(0, 3), range(3, 6))
    """
    return range(columns - steps, columns)


def is_displaced(displacements: range) -> bool:
    """Whether steps moved with other than the velocities: with these columns, not the first T."""
    return displacements.start > 0
