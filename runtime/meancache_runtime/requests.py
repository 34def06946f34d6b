"""What a run is asked for, beside what the calibration samples were asked for.

Every host hands what it sees of a request to :func:`compare`, which is where it is graded:

- ``"same"``: as far as it is seen, the calibrated one;
- ``"measured"``: another one, at which the schedule says the plan's measured quality;
- ``"unknown"``: another one, or any request where plans are starting plans, which nobody has
  calibrated: a warning, or where the host is strict a RequestMismatchError.

What cannot work at all is refused by an error of its own: another step count, grid, model, sampler
or denoiser switch, and another cache at work in the denoiser (:mod:`.errors`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .aloud import Aloud
from .annotations import Also, Generation, Value
from .call_settings import FRAMES, GUIDANCE, NONE, equal, of_guider, other_settings, shown
from .errors import RequestMismatchError
from .schedule import Adapter, Model, Schedule
from .strict_json import shorten

Grade = Literal["same", "measured", "unknown"]

SIZES = ("height", "width", "frames")
SEEDS = "seeds"
"""In a request of a file: the noise of its samples, by which nothing is told from calibration."""

NO_ADAPTERS = "none"

NO_BRANCH = "no negative branch ran", "pass negative_prompt='', if none is passed"
OTHER_BRANCHES = "guidance was added, dropped or ended there", "guide as in calibration"
"""Why the calls of a step are others, and what to do."""

UNCALIBRATED = (
    "this is a starting plan, carried over from {}, and nobody has calibrated this model: judge it "
    "with 'meancache-plan evaluate', or calibrate for plans of its own"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a request is graded.

    Attributes:
        grade: None where the schedule does not say how its calibration samples were made.
        messages: In what it is unknown, a sentence each.
        calls: How often a sample should go through the denoisers, for each of the T steps; None
            if that is not known, and where guidance is told already to be off, or on.
        elements: Numbers that one sample's latents should have; None likewise, and where another
            size is told already.
        measured: What the schedule says of the request, if it is measured.
    """

    grade: Grade | None
    messages: tuple[str, ...] = ()
    calls: tuple[int, ...] | None = None
    elements: int | None = None
    measured: tuple[Also, ...] = ()

    def off_course(self, step: int, calls: int | None) -> str | None:
        """What to say if a sample went through the denoisers so often at a step of the schedule."""
        if self.calls is None or calls is None or calls == self.calls[step]:
            return None
        dropped = step == 0 and calls < self.calls[step]
        why, fix = NO_BRANCH if dropped else OTHER_BRANCHES
        return _unknown(
            f"at step {step} a sample goes through the denoiser {_times(calls)}, and in "
            f"calibration it did {_times(self.calls[step])} ({why})",
            fix,
        )

    def off_size(self, elements: int | None) -> str | None:
        """What to say if one sample's latents have so many numbers."""
        if elements is None or self.elements is None or elements == self.elements:
            return None
        return _other("elements", elements, self.elements)


def compare(
    asked: Mapping[str, Value | None],
    schedule: Schedule,
    budget: int,
    settings: Mapping[str, Value] | None = None,
) -> Verdict:
    """Grade a request.

    Args:
        asked: What is seen of it, by the names of :class:`.annotations.Generation` and of its
            guidance, and as ``adapters`` what :func:`recognised` makes of those in effect; what is
            None or not there is not seen, and nothing is said of it.
        schedule: What it is to follow.
        budget: Of the plan.
        settings: All settings of the call and of guiders (see :mod:`.call_settings`), guidance too,
            in a host that sees every one; what is not there has none.

    Example:
        >>> from .schedule import Grid
        >>> made = Generation(64, 64, None, {}, "float32")
        >>> schedule = Schedule(None, Grid(4, None, 0.0), (), made)
        >>> compare({"height": 64}, schedule, 2).grade
        'same'
        >>> compare({"height": 96}, schedule, 2).messages[0].partition(";")[0]
        'this request has height 96, and the schedule was calibrated with 64'
    """
    if schedule.start is not None:
        return Verdict("unknown", (UNCALIBRATED.format(shorten(schedule.start)),))
    made = schedule.generation
    if made is None:
        return Verdict(None)
    different = _different(asked, made, schedule.model, settings)
    if not different:
        return Verdict("same", (), made.calls, made.elements)
    for row in schedule.also.get(budget, ()):
        if _is_of(row, different):
            return Verdict("measured", (), row.calls, row.elements, (row,))
    messages = tuple(_other(name, *pair) for name, pair in different.items() if name != "adapters")
    size = different.keys() & {*SIZES, "elements"}
    branches = any(_switches(name, *pair) for name, pair in different.items())
    calls, numbers = None if branches else made.calls, None if size else made.elements
    return Verdict("unknown", messages, calls, numbers)


def warn_of(asked: Mapping[str, Value | None], schedule: Schedule, budget: int) -> None:
    """Say aloud in what a request is unknown, in a host that has no place of its own for it."""
    for message in compare(asked, schedule, budget).messages:
        Aloud().say(message)


def check_comparable(schedule: Schedule, strict: bool) -> None:
    """Refuse to be strict where a schedule says nothing to compare with: RequestMismatchError."""
    if strict and schedule.generation is None:
        raise RequestMismatchError(
            "the schedule does not say how its samples were made (generation), so that strict "
            "could not refuse another request: calibrate and solve again, or leave strict out"
        )


def refuse(message: str, strict: bool) -> str:
    """The message, or where a host is strict RequestMismatchError."""
    if strict:
        raise RequestMismatchError(message)
    return message


def _different(
    asked: Mapping[str, Value | None],
    made: Generation,
    model: Model | None,
    settings: Mapping[str, Value] | None,
) -> dict[str, tuple[Value, Value]]:
    """What is other than in calibration: here and there. A size is told once."""
    names = (*SIZES, "dtype", "negative_prompt", "attention", "quantisation", "elements")
    there: dict[str, Value | None] = {name: getattr(made, name) for name in names}
    there["adapters"] = None if model is None else recognised(model.adapters)
    if settings is None or made.settings is None:
        there |= made.guidance
    found = {
        name: (here, calibrated)
        for name, calibrated in there.items()
        if (here := asked.get(name)) is not None
        and calibrated is not None
        and not equal(here, calibrated)
    }
    if settings is not None and made.settings is not None:
        found |= other_settings(settings, {**made.guidance, **made.settings})
    if found.keys() & set(SIZES):
        found.pop("elements", None)
    return found


def _is_of(row: Also, different: Mapping[str, tuple[Value, Value]]) -> bool:
    """Whether a row is of a request that differs in just this."""
    here = {name: pair[0] for name, pair in different.items()}
    there = {name: value for name, value in row.request.items() if name != SEEDS}
    if here.keys() <= {"elements"}:  # a host that sees no more of a size
        return there.keys() <= set(SIZES) and row.elements == here.get("elements")
    return here.keys() == there.keys() and all(equal(here[name], there[name]) for name in here)


def recognised(adapters: Sequence[Adapter]) -> str | None:
    """Adapters as a request has them: their digests; None if one is not known.

    Example:
        >>> recognised([]), recognised([Adapter("b", "sha256:2"), Adapter("a", "sha256:1")])
        ('none', 'sha256:1 sha256:2')
    """
    digests = [adapter.digest for adapter in adapters]
    return None if None in digests else " ".join(sorted(map(str, digests))) or NO_ADAPTERS


def _switches(name: str, here: Value, there: Value) -> bool:
    """Whether what is other may leave a branch of guidance out, or add one."""
    if of_guider(name):
        return True
    scales = [value for value in (here, there) if isinstance(value, int | float)]
    return GUIDANCE.search(name) is not None and len({scale > 1 for scale in scales}) > 1


def _other(name: str, here: Value, there: Value) -> str:
    """In what a request is unknown: what is asked for, and what was calibrated."""
    if name == "negative_prompt":
        words = ("a negative prompt", "without") if here else ("no negative prompt", "with one")
        fix = "pass negative_prompt=''" if here else "pass that one"
        asked = f"this request has {words[0]}, and the schedule was calibrated {words[1]}"
        return _unknown(asked, fix, f"{name}={'…' if here else ''}")
    if name == "elements":
        asked = (
            f"this request's latents have {here} numbers a sample, and those of calibration had "
            f"{there} (another size or length)"
        )
        return _unknown(asked, "ask for the size of calibration", "height=…,width=…")
    now = f"no {name}" if here == NONE else f"{name} {shown(here)}"
    then = "without" if there == NONE else f"with {shown(there)}"
    asked = f"this request has {now}, and the schedule was calibrated {then}"
    if name in ("attention", "quantisation"):
        return _unknown(asked, f"use {name} {there}")
    also = None if isinstance(here, str) and name != "dtype" else f"{name}={shown(here)}"
    return _unknown(asked, _fix(name, there), also)


def _fix(name: str, there: Value) -> str:
    """How to ask for what was calibrated."""
    if of_guider(name):
        return f"set pipe.{name} " + ("as it was" if there == NONE else f"to {shown(there)}")
    if there == NONE:
        return "leave it out"
    head, *rest = name.split(".")
    fixes = {"dtype": f"load the model in {there}", "frames": f"pass {FRAMES}={shown(there)}"}
    inside = "".join(f"{{{key!r}: " for key in rest) + shown(there) + "}" * len(rest)
    return fixes.get(name, f"pass {head}={inside}")


def _unknown(what: str, fix: str, also: str | None = None) -> str:
    judge = f", or judge this with 'meancache-plan evaluate --also {also}'" if also else ""
    return f"{what}; its measured quality does not hold: {fix}{judge}, or calibrate for it"


def _times(calls: int) -> str:
    return "once" if calls == 1 else "twice" if calls == 2 else f"{calls} times"
