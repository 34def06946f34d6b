"""The judge's loop: samples that are not known yet are made, kept, and shown to witnesses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meancache_plan.files.journal import Journal
from meancache_plan.fleet.crew import Alone, Crew
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.contest import Contest, Programme
from meancache_plan.judge.findings import Shot
from meancache_plan.judge.finished_samples import Failed, Kept, Run
from meancache_plan.judge.one_sample_by_all import Counted, Job, Turn, judging
from meancache_plan.judge.picture_witnesses import Witness
from meancache_plan.measure.calibrate import Progress
from meancache_plan.source.diffusers.pipeline import Frames, Pipeline

NO_FRAMES: Frames = np.zeros((0, 0, 0, 3), dtype=np.float32)

Outcomes = dict[str, list[Run | Failed]]
"""Everyone's outcomes by their keys: prompt by prompt, each with all seeds."""


def run(contest: Contest, folder: Path | None = None) -> Outcomes:
    """Hold a contest in this process: see :func:`run_by`."""
    programme = contest.programme()
    held = Running(programme, programme.journal(folder))
    return held.by(Alone(contest.pipeline), lambda _: contest)


@dataclass
class Running:
    """A contest that is under way.

    Attributes:
        programme: Who competes on what.
        journal: Keeps finished samples; those that it has are not made.
        witnesses: Shown pictures of samples.
        progress: Told of each sample of each contender.
    """

    programme: Programme
    journal: Journal
    witnesses: Sequence[Witness] = ()
    progress: Progress = lambda done, total: None

    def by(self, crew: Crew[Pipeline], hold: Callable[[Pipeline], Contest]) -> Outcomes:
        """Have all samples made.

        Within a sample everyone takes turns in one process, so that their timings suffer the same
        conditions.

        Args:
            crew: Has the pipelines.
            hold: Sets the contest up with one of them.

        Raises:
            InputError: The full run fails.
            MeanCacheError: The judged schedule does not fit the pipeline.
        """
        programme = self.programme
        for witness in self.witnesses:
            witness.expect(programme.jobs)
        jobs = [self._job(number) for number in range(len(programme.jobs))]
        failed = {
            key: outcome
            for job in reversed(jobs)
            for key, outcome in job.known.items()
            if isinstance(outcome, Failed)
        }
        total = len(jobs) * len(programme.everyone)
        found = [dict(job.known) for job in jobs]
        missing = [job for job in jobs if job.again or len(job.known) < len(programme.everyone)]
        for place, turn in crew.do(lambda pipeline: judging(hold(pipeline), failed), missing):
            job = missing[place]
            if isinstance(turn, Counted):
                self._note(job, turn)
                continue
            found[job.number][turn.key] = self._settled(job, turn)
            self.progress(sum(map(len, found)), total)
        return {
            contender.key: [each[contender.key] for each in found]
            for contender in programme.everyone
        }

    def _job(self, number: int) -> Job:
        """A sample with what is known of it."""
        prompt, seed = self.programme.jobs[number]
        kept, everyone = Kept(self.journal), self.programme.everyone
        found = {contender.key: kept.find(prompt, seed, contender) for contender in everyone}
        known = {key: outcome for key, outcome in found.items() if outcome is not None}
        counts = {
            contender.key: kept.find_compute(prompt, seed, contender) for contender in everyone
        }
        counted = {key: compute for key, compute in counts.items() if compute is not None}
        pictures = any(witness.wants(prompt, seed) for witness in self.witnesses)
        job = Job(number, prompt, seed, known, counted, frozenset(), pictures)
        again = {contender.key for contender in everyone if not self._is_held(job, contender)}
        return job._replace(again=frozenset(again & known.keys()))

    def _settled(self, job: Job, turn: Turn) -> Run | Failed:
        """Keep an outcome, and show its pictures."""
        contender = self.programme.contender(turn.key)
        if turn.frames is not None and isinstance(turn.outcome, Run):
            for witness in self.witnesses:
                witness.keep(_shot(job, contender, turn.outcome, turn.frames))
        if turn.outcome != job.known.get(turn.key):
            Kept(self.journal).keep(job.prompt, job.seed, contender, turn.outcome)
        return turn.outcome

    def _note(self, job: Job, counted: Counted) -> None:
        contender = self.programme.contender(counted.key)
        Kept(self.journal).keep_compute(job.prompt, job.seed, contender, counted.compute)

    def _is_held(self, job: Job, contender: Contender) -> bool:
        """Whether nobody who looks on has to see this sample again."""
        outcome = job.known.get(contender.key)
        if not isinstance(outcome, Run):
            return True
        shot = _shot(job, contender, outcome, NO_FRAMES)
        return all(witness.holds(shot) for witness in self.witnesses)


def _shot(job: Job, contender: Contender, outcome: Run, frames: Frames) -> Shot:
    calls, psnr = int(outcome.figures["calls"]), outcome.figures["psnr"]
    return Shot(job.prompt, job.seed, contender.name, contender.budget or 0, calls, psnr, frames)
