"""A worker's process makes its thing once, and has others in its place for a while."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import partial

from meancache_plan.errors import InputError
from meancache_plan.fleet.crew import Change
from meancache_plan.fleet.member import Changes, Member


def facts(thing: str) -> dict[str, str]:
    return {"thing": thing}


def test_a_thing_is_made_once_and_changed_in_turn() -> None:
    told: list[str] = []

    def make() -> str:
        told.append("made")
        return "thing"

    @contextmanager
    def put(mark: str, thing: str) -> Generator[str]:
        told.append(f"+{mark}")
        yield thing + mark
        told.append(f"-{mark}")

    member = Member(None)
    a: Change[str] = partial(put, "a")
    b: Change[str] = partial(put, "b")
    both = Changes(1, (a, b))
    seen = [member.start(make, facts, each) for each in (Changes(), both, both, Changes(2, (b,)))]
    assert [each["thing"] for each in seen] == ["thing", "thingab", "thingab", "thingb"]
    assert told == ["made", "+a", "+b", "-b", "-a", "+b"]
    assert member.start(make, facts, Changes()) == {"thing": "thing"}
    assert told[-1] == "-b"


def test_a_work_is_begun_once_and_anew_where_the_thing_is_changed() -> None:
    begun: list[str] = []

    def begin(thing: str) -> partial[Iterable[str]]:
        begun.append(thing)
        return partial(lambda thing, unit: [thing + unit], thing)

    @contextmanager
    def other(_: str) -> Generator[str]:
        yield "other "

    member = Member(None)
    for changes in (Changes(), Changes(1, (other,))):
        member.start(lambda: "own ", facts, changes)
        assert member.do(7, begin, "x") == [f"{begun[-1]}x"]
        assert member.do(7, begin, "y") == [f"{begun[-1]}y"]
    assert begun == ["own ", "other "]


def test_what_is_refused_is_an_answer() -> None:
    @contextmanager
    def refusing(_: str) -> Generator[str]:
        raise InputError("no such LoRA")
        yield

    answer = Member(None).start(lambda: "thing", facts, Changes(1, (refusing,)))
    assert isinstance(answer, InputError)
    assert str(answer) == "no such LoRA"
