"""One prompt and seed, by everyone: each takes a turn, and is compared with the full run."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from meancache_plan.core.psnr import moments
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.judge.contender import Contender, UnavailableError, reason_of
from meancache_plan.judge.contest import Contest
from meancache_plan.judge.figures import Seen
from meancache_plan.judge.findings import PLAN
from meancache_plan.judge.finished_samples import Failed, Run
from meancache_plan.judge.measured_sample import Count, Made
from meancache_plan.judge.sample_cost import Compute, compute, make
from meancache_plan.source.diffusers.pipeline import Frames
from meancache_runtime.errors import NonFiniteError
from meancache_runtime.strict_json import shorten


class Job(NamedTuple):
    """A sample that everyone is to make.

    Attributes:
        number: Its place among all samples.
        prompt, seed: What it is of.
        known: What is known of it, by the keys of contenders.
        counted: What it is known to take, likewise.
        again: Whose sample is made again though it is known, for its picture.
        pictures: Whether its pictures are wanted.
    """

    number: int
    prompt: str
    seed: int
    known: Mapping[str, Run | Failed]
    counted: Mapping[str, Compute]
    again: frozenset[str]
    pictures: bool

    def __str__(self) -> str:
        return f"{self.prompt!r} with seed {self.seed}"


class Turn(NamedTuple):
    """What came of one contender's turn; its pictures [F, height, width, 3], if they are wanted."""

    key: str
    outcome: Run | Failed
    frames: Frames | None = None


class Counted(NamedTuple):
    """What a sample of one contender takes, as it is counted before its turn."""

    key: str
    compute: Compute


def judging(
    contest: Contest, failed: Mapping[str, Failed]
) -> Callable[[Job], Iterator[Turn | Counted]]:
    """What has samples made and measured, in this process.

    Nobody is timed before lazy initialisation, autotuning and compilation have happened in it.

    Args:
        contest: Who competes on what.
        failed: Who is known to fail, by their keys.
    """
    so_far = _SoFar(dict(failed))
    return lambda job: _Sample(contest, so_far, job).turns()


@dataclass
class _SoFar:
    """What earlier samples leave in this process: who failed, and who has run."""

    failed: dict[str, Failed]
    warm: set[str] = field(default_factory=set[str])


class _Sample:
    """One prompt and seed, by everyone."""

    def __init__(self, contest: Contest, so_far: _SoFar, job: Job) -> None:
        self._contest, self._so_far, self._job = contest, so_far, job
        self._made: Made | None = None
        self._counted = dict(job.counted)
        self._counts: dict[str, Count | Failed] = {}

    def turns(self) -> Iterator[Turn | Counted]:
        """Everyone's, in their order; the full run's may come once more, with its pictures."""
        order, job = self._contest.everyone, self._job
        if self._contest.rules.open:
            order = random.Random(job.number).sample(order, len(order))
        for contender in order:
            known = job.known.get(contender.key)
            if known is not None and contender.key not in job.again:
                yield Turn(contender.key, known)
                continue
            if contender.key in self._so_far.failed:  # who failed once is not tried again
                yield Turn(contender.key, self._so_far.failed[contender.key])
                continue
            if self._made is None:
                yield from self._begun()
            yield self._outcome(contender)

    def _begun(self) -> Iterator[Turn | Counted]:
        """Make what all are judged by, and count; a full run that is known goes on."""
        full, _ = self._against
        known = self._job.known.get(self._contest.full.key)
        if isinstance(known, Run):
            yield self._turn(self._contest.full, known, full)
        yield from self._count_all()

    def _outcome(self, contender: Contender) -> Turn:
        """Make the sample, and measure it."""
        full, flow = self._against
        count = self._counts.get(contender.key, Count())
        try:
            if not isinstance(count, Failed):
                return self._measured(contender, full, flow, count)
        except Exception as error:  # whatever a contender raises is its row, not our end
            count = self._failure(contender, error)
        self._so_far.failed.setdefault(contender.key, count)
        return Turn(contender.key, count)

    def _measured(
        self, contender: Contender, full: Made, flow: Tensor | None, count: Count
    ) -> Turn:
        is_full = contender is self._contest.full
        made = full if is_full and not self._contest.rules.open else self._make(contender)
        seen = Seen(made, full, flow, count, self._contest.full.steps)
        values = {figure.name: figure.of(seen) for figure in self._contest.figures}
        found = Run(
            figures={name: value for name, value in values.items() if value is not None},
            moments=moments(full.latents) if is_full else None,
            innovations=dict(made.innovations),
        )
        return self._turn(contender, found, made)

    def _turn(self, contender: Contender, outcome: Run, made: Made) -> Turn:
        return Turn(contender.key, outcome, made.frames if self._job.pictures else None)

    @cached_property
    def _against(self) -> tuple[Made, Tensor | None]:
        """The full run that all are judged by, and where the flow itself leads."""
        contest = self._contest
        if not contest.counted and not self._so_far.warm:  # else all run once to be counted
            for contender in (Contender("two steps", "", 2), *contest.contenders[:1]):
                with suppress(NonFiniteError):  # said when it is timed
                    self._make(contender)
        try:
            full = self._make(contest.full)
        except NonFiniteError as error:
            raise self._overflow(contest.full) from error
        self._so_far.warm.add(contest.full.key)
        self._made = full
        return full, None if contest.flow is None else self._make(contest.flow).latents

    def _count_all(self) -> Iterator[Counted]:
        """FLOPs and tensors of whom they are counted; others run once, who have not so far.

        Who is counted does not depend on the process, so no figure depends on where it was made.
        """
        contest, so_far = self._contest, self._so_far
        for contender in contest.everyone if contest.counted else ():
            if contender.key in self._job.known.keys() | so_far.failed.keys():
                continue
            try:
                if self._is_counted(contender):
                    yield from self._count(contender)
                elif contender.key not in so_far.warm:
                    self._make(contender)
            except Exception as error:  # whatever a contender raises is its row, not our end
                self._counts[contender.key] = self._failure(contender, error)
            so_far.warm.add(contender.key)

    def _is_counted(self, contender: Contender) -> bool:
        """Everyone at first, later those whose compute varies, and the full run beside them."""
        varies, number = contender.adaptive or contender is self._contest.full, self._job.number
        return number == 0 or (varies and number < self._contest.counted)

    def _count(self, contender: Contender) -> Iterator[Counted]:
        """Count a run and the full one, once; who has not run in this process does so."""
        for each in (contender, self._contest.full):
            if each.key not in self._counted:
                self._counted[each.key] = self._compute(each)
                yield Counted(each.key, self._counted[each.key])
            elif each.key not in self._so_far.warm:
                self._make(each)
        own, full = self._counted[contender.key], self._counted[self._contest.full.key]
        self._counts[contender.key] = Count(own.total / full.total, own.whole(full), own.memory)

    def _make(self, contender: Contender) -> Made:
        return make(self._contest.pipeline, contender, self._job.prompt, self._job.seed)

    def _compute(self, contender: Contender) -> Compute:
        return compute(self._contest.pipeline, contender, self._job.prompt, self._job.seed)

    def _failure(self, contender: Contender, error: Exception) -> Failed:
        overflow = isinstance(error, NonFiniteError)
        unfit = isinstance(error, MeanCacheError) and not overflow
        ours = contender is self._contest.full or (contender.name == PLAN and unfit)
        if ours or not self._contest.rules.open:
            raise self._overflow(contender) if overflow else error
        where = f" (on {shorten(self._job.prompt)!r})"
        return Failed(
            reason=reason_of(error) + ("" if isinstance(error, UnavailableError) else where)
        )

    def _overflow(self, contender: Contender) -> InputError:
        return InputError(
            f"{contender.name} at budget {contender.budget}: the sample for "
            f"{self._job.prompt!r} is not finite: the model overflows; try another dtype"
        )
