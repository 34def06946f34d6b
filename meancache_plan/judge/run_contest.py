"""The judge's loop: every peer makes every sample, and each is compared with the full run's."""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from meancache_plan.core.psnr import moments
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.judge.contest import Contest
from meancache_plan.judge.cost import Compute, compute, make
from meancache_plan.judge.measured_sample import Count, Made
from meancache_plan.judge.metrics import Seen
from meancache_plan.judge.outcomes import Failed, Kept, Run
from meancache_plan.judge.peer import Peer, UnavailableError, reason_of
from meancache_plan.judge.picture_witnesses import Witness
from meancache_plan.judge.result import PLAN, Shot
from meancache_plan.source.diffusers.pipeline import Frames
from meancache_runtime.errors import NonFiniteError
from meancache_runtime.strict_json import shorten

NO_FRAMES: Frames = np.zeros((0, 0, 0, 3), dtype=np.float32)

Outcomes = dict[str, list[Run | Failed]]
"""Everyone's outcomes by their keys: prompt by prompt, each with all seeds."""


def run(contest: Contest, witnesses: Sequence[Witness] = ()) -> Outcomes:
    """Make all samples, and show them to witnesses; those that are kept are not made.

    Within a sample everyone takes turns, so that their timings suffer the same conditions. Nobody
    is timed before lazy initialisation, autotuning and compilation have happened in this process.

    Raises:
        InputError: The full run fails, or the folder belongs to another contest.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    so_far = _SoFar(Kept(contest.journal), witnesses)
    found: Outcomes = {peer.key: [] for peer in contest.everyone}
    done, total = 0, len(contest.jobs) * len(contest.everyone)
    for number, (prompt, seed) in enumerate(contest.jobs):
        for peer, outcome in _Sample(contest, so_far, number, prompt, seed).outcomes():
            found[peer.key].append(outcome)
            if isinstance(outcome, Failed):
                so_far.failed.setdefault(peer.key, outcome)
            done += 1
            contest.progress(done, total)
    return found


@dataclass
class _SoFar:
    """What earlier samples leave: outcomes, who failed, and who has run in this process."""

    kept: Kept
    witnesses: Sequence[Witness]
    failed: dict[str, Failed] = field(default_factory=dict[str, Failed])
    warm: set[str] = field(default_factory=set[str])


class _Sample:
    """One prompt and seed, by everyone."""

    def __init__(
        self, contest: Contest, so_far: _SoFar, number: int, prompt: str, seed: int
    ) -> None:
        self._contest, self._so_far, self._number = contest, so_far, number
        self._job = prompt, seed
        found = {peer.key: so_far.kept.find(prompt, seed, peer) for peer in contest.everyone}
        self._known = {key: outcome for key, outcome in found.items() if outcome is not None}

    def outcomes(self) -> Iterator[tuple[Peer, Run | Failed]]:
        """Everyone's, in the order of their turns."""
        turns = self._contest.everyone
        if self._contest.rules.open:
            turns = random.Random(self._number).sample(turns, len(turns))
        for peer in turns:
            known = self._known.get(peer.key)
            if known is None or not self._is_held(peer, known):
                known = self._outcome(peer)
                self._so_far.kept.keep(*self._job, peer, known)
            yield peer, known

    def _outcome(self, peer: Peer) -> Run | Failed:
        """Make the sample, and measure it; who failed once is not tried again."""
        if peer.key in self._so_far.failed:
            return self._so_far.failed[peer.key]
        full, flow = self._against
        count = self._counts.get(peer.key, Count())
        if isinstance(count, Failed):
            return count
        try:
            return self._measured(peer, full, flow, count)
        except Exception as error:  # whatever a peer raises is its row, not our end
            return self._failure(peer, error)

    def _measured(self, peer: Peer, full: Made, flow: Tensor | None, count: Count) -> Run:
        is_full = peer is self._contest.full
        made = full if is_full and not self._contest.rules.open else self._make(peer)
        seen = Seen(made, full, flow, count, self._contest.full.steps)
        values = {metric.name: metric.of(seen) for metric in self._contest.metrics}
        found = Run(
            figures={name: value for name, value in values.items() if value is not None},
            moments=moments(full.latents) if is_full else None,
        )
        self._show(peer, found, made.frames)
        return found

    @cached_property
    def _against(self) -> tuple[Made, Tensor | None]:
        """The full run that all are judged by, and where the flow itself leads."""
        contest = self._contest
        if not contest.counted and not self._so_far.warm:  # else all run once to be counted
            for peer in (Peer("two steps", "", 2), *contest.peers[:1]):
                with suppress(NonFiniteError):  # said when it is timed
                    self._make(peer)
        try:
            full = self._make(contest.full)
        except NonFiniteError as error:
            raise self._overflow(contest.full) from error
        self._so_far.warm.add(contest.full.key)
        known = self._known.get(contest.full.key)
        if isinstance(known, Run):  # an interrupted sample goes on
            self._show(contest.full, known, full.frames)
        return full, None if contest.flow is None else self._make(contest.flow).latents

    @cached_property
    def _counts(self) -> dict[str, Count | Failed]:
        """FLOPs and tensors of whom they are counted; others run once, who have not so far."""
        contest, so_far = self._contest, self._so_far
        found: dict[str, Count | Failed] = {}
        if not contest.counted:
            return found
        for peer in contest.everyone:
            if peer.key in self._known.keys() | so_far.failed.keys():
                continue
            try:
                if self._is_counted(peer):
                    found[peer.key] = self._count(peer)
                elif peer.key not in so_far.warm:
                    self._make(peer)
            except Exception as error:  # as above
                found[peer.key] = self._failure(peer, error)
            so_far.warm.add(peer.key)
        return found

    def _is_counted(self, peer: Peer) -> bool:
        """Everyone at first, later those whose compute varies, and the full run beside them."""
        varies = peer.adaptive or peer is self._contest.full
        return self._number == 0 or (varies and self._number < self._contest.counted)

    def _count(self, peer: Peer) -> Count:
        own, full = self._compute(peer), self._compute(self._contest.full)
        return Count(own.total / full.total, own.whole(full), own.memory)

    def _compute(self, peer: Peer) -> Compute:
        """What a run takes, which is counted once; who has not run in this process does so."""
        known = self._so_far.kept.find_compute(*self._job, peer)
        if known is None:
            known = compute(self._contest.pipeline, peer, *self._job)
            self._so_far.kept.keep_compute(*self._job, peer, known)
        elif peer.key not in self._so_far.warm:
            self._make(peer)
        return known

    def _make(self, peer: Peer) -> Made:
        return make(self._contest.pipeline, peer, *self._job)

    def _failure(self, peer: Peer, error: Exception) -> Failed:
        overflow = isinstance(error, NonFiniteError)
        unfit = isinstance(error, MeanCacheError) and not overflow
        ours = peer is self._contest.full or (peer.name == PLAN and unfit)
        if ours or not self._contest.rules.open:
            raise self._overflow(peer) if overflow else error
        where = "" if isinstance(error, UnavailableError) else f" (on {shorten(self._job[0])!r})"
        return Failed(reason=reason_of(error) + where)

    def _overflow(self, peer: Peer) -> InputError:
        return InputError(
            f"{peer.name} at budget {peer.budget}: the sample for {self._job[0]!r} is not finite: "
            "the model overflows; try another dtype"
        )

    def _is_held(self, peer: Peer, outcome: Run | Failed) -> bool:
        """Whether nobody who looks on has to see this sample again."""
        if isinstance(outcome, Failed):
            return True
        shot = self._shot(peer, outcome, NO_FRAMES)
        return all(witness.holds(shot) for witness in self._so_far.witnesses)

    def _show(self, peer: Peer, outcome: Run, frames: Frames) -> None:
        for witness in self._so_far.witnesses:
            witness.keep(self._shot(peer, outcome, frames))

    def _shot(self, peer: Peer, outcome: Run, frames: Frames) -> Shot:
        calls, psnr = int(outcome.figures["calls"]), outcome.figures["psnr"]
        return Shot(*self._job, peer.name, peer.budget or 0, calls, psnr, frames)
