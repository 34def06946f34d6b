"""The shoot-out itself: every peer makes every sample, against the run of all steps."""

import importlib.metadata
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from meancache_plan.core.psnr import mean_square, moments
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.files.journal import Journal
from meancache_plan.judge import metrics
from meancache_plan.judge.compare.cost import Made, NotFiniteError, compute, make
from meancache_plan.judge.compare.kept import Failed, Outcome, Run, Sample
from meancache_plan.judge.compare.peer import Peer, UnavailableError, reason_of
from meancache_plan.judge.compare.result import FULL, PLAN
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest
from meancache_plan.version import __version__
from meancache_runtime.strict_json import shorten

Progress = Callable[[int, int], None]
"""Called with (samples finished or made, samples in all), a sample being one peer's."""


@dataclass(frozen=True)
class Contest:
    """Who competes on what.

    Attributes:
        pipeline: The pipeline, not attached, as its owner has set it up.
        steps: T of the full runs.
        peers: Who competes.
        prompts: Held-out prompts, on none of which a peer was fitted.
        seeds: Seeds of the initial noise, each used with every prompt.
        exact: Shows where the flow itself leads, so that the full run's own error is seen.
        folder: Where finished samples are kept and found again; nowhere by default.
        lpips: Measure LPIPS too.
        counted: Samples on which FLOPs are counted where they depend on the sample, 1 or more.
        progress: Told of each sample.
    """

    pipeline: Pipeline
    steps: int
    peers: tuple[Peer, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    exact: Peer | None = None
    folder: Path | None = None
    lpips: bool = False
    counted: int = 1
    progress: Progress = field(default=lambda done, total: None)

    def __post_init__(self) -> None:
        """Refuse a contest without samples, and peers that cannot be told apart."""
        if not self.prompts or not self.seeds:
            raise InputError("nothing to compare on: give at least one prompt and one seed")
        keys = [peer.key for peer in (self.full, *self.peers)]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"two peers are both called {key!r}: rename a schedule's file")

    @property
    def full(self) -> Peer:
        """The run of all steps, which everything is measured against."""
        return Peer(FULL, f"{self.steps} steps", self.steps)

    def journal(self) -> Journal | None:
        """Where finished samples are kept.

        Raises:
            InputError: The folder cannot be used, or belongs to another comparison.
        """
        if self.folder is None:
            return None
        remedy = "choose another --json file"
        return Journal(self.folder, self.settings(), "comparison", remedy)

    def versions(self) -> dict[str, str]:
        """Of everything that competes or judges; ``"not installed"`` where a peer's library is."""
        return {
            "meancache-plan": __version__,
            **self.pipeline.versions(),
            **{name: _version(name) for name in ("cache-dit", "flip-evaluator")},
        }

    def settings(self) -> dict[str, Any]:
        """Everything that a sample's figures depend on."""
        pipeline = self.pipeline
        return {
            "model": pipeline.identity().model_dump(mode="json"),
            "generation": pipeline.generation().model_dump(mode="json"),
            "arguments": digest([str(pipeline.call_arguments())]),
            "versions": self.versions(),
            "device": str(pipeline.device),
            "steps": self.steps,
            "prompts": digest(self.prompts),
            "seeds": list(self.seeds),
            "lpips": self.lpips,
            "counted": self.counted,
            "exact": None if self.exact is None else self.exact.key,
            "peers": digest([(p.key, p.steps, p.budget, p.source) for p in self.peers]),
        }


def run(contest: Contest) -> list[Sample]:
    """Make all samples, prompt by prompt, each with all seeds; those that are kept are not made.

    Within a sample the full run and the peers take turns, in an order drawn anew for each, so that
    their timings suffer the same conditions. Before the first sample that a process makes, everyone
    runs once untimed: lazy initialisation, autotuning and compilation happen there.

    Raises:
        InputError: The full run fails, or the folder belongs to another comparison.
        MeanCacheError: The judged schedule does not fit the pipeline.
    """
    journal = contest.journal()
    judges = _judges(contest.lpips)
    jobs = [(prompt, seed) for prompt in contest.prompts for seed in contest.seeds]
    found: list[Sample] = []
    failed: dict[str, Failed] = {}
    warm = False
    for number, (prompt, seed) in enumerate(jobs):
        this = _Round(contest, number, prompt, seed, judges, failed, warm)
        found.append(_recalled(journal, number, this))
        warm = warm or this.played
        outcomes = found[-1].outcomes.items()
        failed |= {key: outcome for key, outcome in outcomes if isinstance(outcome, Failed)}
        contest.progress((number + 1) * len(contest.peers), len(jobs) * len(contest.peers))
    return found


def _recalled(journal: Journal | None, number: int, this: "_Round") -> Sample:
    """The sample of this number, made only if it is not known yet."""
    if journal is None:
        return this.play()
    known = journal.recall("sample", number, lambda: this.play().model_dump(mode="json"))
    return Sample.model_validate(known)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _judges(lpips: bool) -> dict[str, metrics.PictureMetric]:
    judges: dict[str, metrics.PictureMetric] = {
        "psnr": metrics.picture_psnr,
        "ssim": metrics.ssim,
        "flip": metrics.flip,
    }
    return judges | ({"lpips": metrics.load_lpips()} if lpips else {})


@dataclass
class _Round:
    """One sample, made by everyone.

    ``warm`` says that everyone has run in this process before; ``played`` becomes true when this
    sample is made rather than recalled.
    """

    contest: Contest
    number: int
    prompt: str
    seed: int
    judges: Mapping[str, metrics.PictureMetric]
    failed: Mapping[str, Failed]
    warm: bool
    played: bool = False

    def play(self) -> Sample:
        """The full run that all are judged by, the counting of FLOPs, then everyone timed."""
        contest = self.contest
        self.played = True
        full = make(contest.pipeline, contest.full, self.prompt, self.seed)
        exact = self._exact()
        everyone = (contest.full, *contest.peers)
        counted = self._counted()
        order = random.Random(self.number).sample(everyone, len(everyone))
        outcomes: dict[str, Outcome] = {}
        for peer in order:
            outcomes[peer.key] = self._outcome(peer, full, exact, counted)
            done = self.number * len(contest.peers) + len(outcomes) - 1
            contest.progress(done, len(contest.prompts) * len(contest.seeds) * len(contest.peers))
        return Sample(
            moments=moments(full.latents),
            outcomes={peer.key: outcomes[peer.key] for peer in everyone},
        )

    def _exact(self) -> Tensor | None:
        """Where the flow itself leads from this noise."""
        peer = self.contest.exact
        if peer is None:
            return None
        return make(self.contest.pipeline, peer, self.prompt, self.seed).latents

    def _outcome(
        self,
        peer: Peer,
        full: Made,
        exact: Tensor | None,
        counted: Mapping[str, "_Counted | Failed"],
    ) -> Outcome:
        known = self.failed.get(peer.key, counted.get(peer.key, _Counted()))
        if isinstance(known, Failed):
            return known
        try:
            made = make(self.contest.pipeline, peer, self.prompt, self.seed)
            return self._judged(full, made, exact, known)
        except Exception as error:  # whatever a peer raises is its row, not our end
            return self._failure(peer, error)

    def _failure(self, peer: Peer, error: Exception) -> Failed:
        unfit = isinstance(error, MeanCacheError) and not isinstance(error, NotFiniteError)
        if peer.name == FULL or (peer.name == PLAN and unfit):
            raise error
        where = "" if isinstance(error, UnavailableError) else f" (on {shorten(self.prompt)!r})"
        return Failed(reason=reason_of(error) + where)

    def _judged(self, full: Made, made: Made, exact: Tensor | None, counted: "_Counted") -> Run:
        return Run(
            calls=made.calls,
            seconds=made.seconds,
            latent_error=mean_square(full.latents, made.latents),
            flow_error=None if exact is None else mean_square(exact, made.latents),
            pictures={name: judge(full.frames, made.frames) for name, judge in self.judges.items()},
            memory=counted.memory if made.memory is None else made.memory,
            flops=counted.flops,
            whole=counted.whole,
        )

    def _counted(self) -> dict[str, "_Counted | Failed"]:
        """FLOPs and tensors of everyone the first time, and later of those whose compute varies."""
        contest = self.contest
        varies = self.number < contest.counted
        counting = [
            peer
            for peer in contest.peers
            if peer.key not in self.failed and (not self.warm or (peer.adaptive and varies))
        ]
        if not counting:
            return {}
        full = compute(contest.pipeline, contest.full, self.prompt, self.seed)
        found: dict[str, _Counted | Failed] = {contest.full.key: _Counted(1.0, 1.0, full.memory)}
        for peer in counting:
            try:
                own = compute(contest.pipeline, peer, self.prompt, self.seed)
                share = own.total / full.total
                found[peer.key] = _Counted(share, own.whole(full), own.memory)
            except Exception as error:  # as above
                found[peer.key] = self._failure(peer, error)
        return found


class _Counted(NamedTuple):
    """What a run took: of FLOPs and of whole calls the share of the full run's; bytes of memory.

    None where it was not counted.
    """

    flops: float | None = None
    whole: float | None = None
    memory: int | None = None
