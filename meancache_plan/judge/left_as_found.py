"""A pipeline left as it was found, whatever a contender did to it."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from meancache_runtime.hosts.diffusers.identity import denoisers
from meancache_runtime.hosts.diffusers.intercept import unwrap

_UNWRITABLE = {"__dict__", "__weakref__"}


@contextmanager
def left_as_found(pipe: Any) -> Generator[None]:
    """Give back the attributes of a pipeline, of its denoisers' modules, and of their classes.

    Caches wrap ``forward`` of single blocks, and ``__call__`` of the pipeline's class; when they
    fail half-way, nobody else takes that back.
    """
    owners = list(_owners(pipe))
    before = [dict(vars(owner)) for owner in owners]
    children = [(o, dict(vars(o)["_modules"])) for o in owners if "_modules" in vars(o)]
    try:
        yield
    finally:
        for owner, found in zip(owners, before, strict=True):
            _restore(owner, found)
        for owner, found in children:
            vars(owner)["_modules"].clear()
            vars(owner)["_modules"].update(found)


def _owners(pipe: Any) -> Iterator[Any]:
    """Everything whose attributes a contender may change: the pipeline and its class come first."""
    yield pipe
    yield type(pipe)
    for denoiser in map(unwrap, denoisers(pipe).values()):
        yield type(denoiser)
        yield from denoiser.modules()


def _restore(owner: Any, found: dict[str, Any]) -> None:
    """Put the attributes back; classes allow it by setattr only."""
    if not isinstance(owner, type):
        now = vars(owner)
        for name in now.keys() - found.keys():
            del now[name]
        for name, value in found.items():
            if now.get(name) is not value or name not in now:
                now[name] = value
        return
    for name in vars(owner).keys() - found.keys() - _UNWRITABLE:
        delattr(owner, name)
    for name, value in found.items():
        if vars(owner).get(name) is not value and name not in _UNWRITABLE:
            setattr(owner, name, value)
