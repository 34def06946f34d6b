"""Compare the adapters (LoRA) in effect in a pipeline with those of a schedule."""

from collections.abc import Sequence

from .schedule import Adapter
from .strict_json import shorten


def other_adapters(
    here: Sequence[Adapter], there: Sequence[Adapter], *, strict: bool = False
) -> str | None:
    """What to say if the adapters in effect are not those that a schedule was compiled with.

    Equal digests are one adapter, whatever its name; where one of two digests is not known, equal
    names are.

    Args:
        here: Those in effect in a pipeline.
        there: The schedule's.
        strict: Also say so if an adapter could be compared by its name alone.
    """
    others, missing, unread = _unmatched(here, there)
    if others or missing:
        changed = {adapter.name for adapter in others} & {adapter.name for adapter in missing}
        if len(others) == len(missing) == len(changed):
            return _changed(others)
        return _different(here, there, [other for other in others if other.name in changed])
    return _unreadable(unread) if strict and unread else None


def _unmatched(
    here: Sequence[Adapter], there: Sequence[Adapter]
) -> tuple[list[Adapter], list[Adapter], list[Adapter]]:
    """Adapters here and there without a counterpart, and those here with one by name alone."""
    others, missing, unread = list(here), list(there), list[Adapter]()
    for wanted in there:
        same = [other for other in others if wanted.digest and other.digest == wanted.digest]
        if same:
            others.remove(same[0])
            missing.remove(wanted)
    for wanted in list(missing):
        same = [other for other in others if other.name == wanted.name]
        if same and None in (same[0].digest, wanted.digest):
            others.remove(same[0])
            missing.remove(wanted)
            unread += same[:1]
    return others, missing, unread


def _changed(adapters: Sequence[Adapter]) -> str:
    return (
        f"the schedule was compiled with other weights or another scale of {_listed(adapters)}: "
        "its measured quality does not hold here; load the same files at the same scale "
        "(set_adapters, fuse_lora), or calibrate with these"
    )


def _different(
    here: Sequence[Adapter], there: Sequence[Adapter], changed: Sequence[Adapter]
) -> str:
    also = f" ({_listed(changed)} with other weights or another scale)" if changed else ""
    return (
        f"the schedule was compiled with {_listed(there)}, but this pipeline has {_listed(here)}"
        f"{also}: its measured quality does not hold here; load the same adapters at the same "
        "scale, or calibrate with these"
    )


def _unreadable(adapters: Sequence[Adapter]) -> str:
    return (
        f"the weights of {_listed(adapters)} cannot be compared with those that the schedule was "
        "compiled with: here or there they could not be read (unloaded after fusing, offloaded to "
        "disk, or quantised); keep them loaded and in memory here and when you calibrate, or "
        "attach without strict, which then compares names"
    )


def _listed(adapters: Sequence[Adapter]) -> str:
    names = [shorten(adapter.name) for adapter in adapters]
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"the adapters {listed}" if names else "no adapters"
