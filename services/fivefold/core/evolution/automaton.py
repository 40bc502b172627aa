"""The texts that a field allows, as a language: is there one that another field refuses, and which is the shortest?

A pattern becomes a nondeterministic automaton with search semantics (Thompson's construction, as in K. Thompson,
"Regular Expression Search Algorithm", 1968); its sets of states are walked level by level together with those of the
field that is asked about, so that the first text found is a shortest one. The walk is bounded: `Undecided` is what it
says past `BUDGET`. Numbers, nulls and shapes are left to `inclusion`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from fivefold.core.fields.pattern import Alternatives, Anchor, Character, CharacterSet, Pattern, Ranges, Repeat, Series

BUDGET = 200_000
"""Steps of the walk: states of a pattern looked at for one character. About a fifth of a second."""

_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_PREFERRED = "a0A _-.b1!~"

State = Hashable


class Undecided(Exception):
    """The walk would take too long."""


class Steps:
    """What is left of the budget of one question."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Undecided


class PatternAutomaton:
    """A pattern's automaton: states are a set of places in its program and whether the text has only begun.

    `None` is the state in which the pattern is found, whatever follows.
    """

    def __init__(self, pattern: Pattern, steps: Steps) -> None:
        self._steps = steps
        self._program: list[tuple[Any, ...]] = []
        self._emit(pattern.tree)
        self._add("match")
        self.start = self._close((0,), begun=False)
        self._again = self._close((0,), begun=True)

    def ranges(self) -> Iterable[tuple[int, int]]:
        """All ranges of code points that the pattern tells from others."""
        for operation in self._program:
            if operation[0] == "set":
                yield from operation[1]

    def accepts(self, state: State) -> bool:
        """Whether the text may end here."""
        if state is None:
            return True
        assert isinstance(state, tuple)
        places, begun = state
        ends = tuple(place + 1 for place in places if self._program[place][0] == "end")
        return bool(ends) and self._close(ends, begun=begun, ended=True) is None

    def after(self, state: State, code: int) -> State:
        """The state after one more character."""
        if state is None:
            return None
        assert isinstance(state, tuple)
        places, _ = state
        self._steps.take(len(places) + 1)
        reached = []
        for place in places:
            operation = self._program[place]
            if operation[0] == "set" and any(low <= code <= high for low, high in operation[1]) != operation[2]:
                reached.append(place + 1)
        following = self._close(reached, begun=True)
        if following is None or self._again is None:
            return None
        return following[0] | self._again[0], True

    def _add(self, *operation: Any) -> int:
        self._steps.take(1)
        self._program.append(operation)
        return len(self._program) - 1

    def _emit(self, node: Any) -> None:
        if isinstance(node, Character):
            self._add("set", ((node.code, node.code),), False)
        elif isinstance(node, CharacterSet):
            self._add("set", node.ranges, node.negated)
        elif isinstance(node, Anchor):
            self._add("end" if node.end else "begin")
        elif isinstance(node, Series):
            for part in node.parts:
                self._emit(part)
        elif isinstance(node, Alternatives):
            self._emit_alternatives(node.options)
        elif isinstance(node, Repeat):
            for _ in range(node.low):
                self._emit(node.part)
            skips = []
            for _ in range(node.high - node.low):
                skips.append(self._add("split"))
                self._emit(node.part)
            for place in skips:
                self._program[place] = ("split", place + 1, len(self._program))

    def _emit_alternatives(self, options: Sequence[Series]) -> None:
        jumps = []
        for option in options[:-1]:
            split = self._add("split")
            self._emit(option)
            jumps.append(self._add("split"))
            self._program[split] = ("split", split + 1, len(self._program))
        self._emit(options[-1])
        for place in jumps:
            self._program[place] = ("split", len(self._program), len(self._program))

    def _close(self, places: Iterable[int], *, begun: bool, ended: bool = False) -> tuple[frozenset[int], bool] | None:
        """The places reachable without a character that wait for one, or for the end; None where the match is found."""
        waiting, seen, stack = set(), set(), list(places)
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            kind = self._program[place][0]
            if kind == "match":
                return None
            if kind == "split":
                stack += self._program[place][1:]
            elif (kind == "begin" and not begun) or (kind == "end" and ended):
                stack.append(place + 1)
            elif kind in ("set", "end"):
                waiting.add(place)
        self._steps.take(len(seen))
        return frozenset(waiting), begun


class Words:
    """A finite list of words as an automaton: a state is what has been read while a word goes on so, else None."""

    start: State = ""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        self._begun = {word[:length] for word in self._words for length in range(len(word) + 1)}

    def ranges(self) -> Iterable[tuple[int, int]]:
        return ((ord(character), ord(character)) for character in {*"".join(self._words)})

    def accepts(self, state: State) -> bool:
        return state in self._words

    def after(self, state: State, code: int) -> State:
        longer = None if state is None else f"{state}{chr(code)}"
        return longer if longer in self._begun else None


Automaton = PatternAutomaton | Words


@lru_cache(maxsize=1024)
def shortest(
    pattern: Pattern | None,
    least: int,
    most: int | None,
    refused_by: Pattern | tuple[str, ...] | None = None,
) -> str | None:
    """A shortest text of `least` to `most` code points that `pattern` finds and `refused_by` does not allow.

    `refused_by` is another pattern, or the only words that are allowed. None where there is no such text; raises
    `Undecided` where finding out would take too long.
    """
    steps = Steps()
    machines: list[Automaton] = []
    if pattern is not None:
        machines.append(PatternAutomaton(pattern, steps))
    if isinstance(refused_by, Pattern):
        machines.append(PatternAutomaton(refused_by, steps))
    elif refused_by is not None:
        machines.append(Words(refused_by))
    wanted = [True] * (pattern is not None) + [False] * (refused_by is not None)
    codes = _representatives([found for machine in machines for found in machine.ranges()])

    def fits(states: tuple[State, ...]) -> bool:
        return all(
            machine.accepts(state) == want for machine, state, want in zip(machines, states, wanted, strict=True)
        )

    def after(states: tuple[State, ...], code: int) -> tuple[State, ...]:
        steps.take(1)
        return tuple(machine.after(state, code) for machine, state in zip(machines, states, strict=True))

    return _walk(tuple(machine.start for machine in machines), least, most, codes, fits, after)


def _walk(
    start: tuple[State, ...],
    least: int,
    most: int | None,
    codes: Sequence[int],
    fits: Callable[[tuple[State, ...]], bool],
    after: Callable[[tuple[State, ...], int], tuple[State, ...]],
) -> str | None:
    """Level by level, a level a length; from `least` on, a state that was there before leads nowhere new."""
    level: dict[tuple[State, ...], tuple[Any, int]] = {start: ((), -1)}
    trail = [level]
    seen: set[tuple[State, ...]] = set()
    while level and (most is None or len(trail) - 1 <= most):
        if len(trail) > least:
            for states in level:
                if fits(states):
                    return _spelt(trail, states)
            seen.update(level)
        following: dict[tuple[State, ...], tuple[Any, int]] = {}
        for states in level:
            for code in codes:
                reached = after(states, code)
                if reached not in following and reached not in seen:
                    following[reached] = (states, code)
        level = following
        trail.append(level)
    return None


def _spelt(trail: Sequence[dict[tuple[State, ...], tuple[Any, int]]], states: tuple[State, ...]) -> str:
    text = []
    for level in trail[:0:-1]:
        states, code = level[states]
        text.append(chr(code))
    return "".join(reversed(text))


def _representatives(ranges: Ranges | list[tuple[int, int]]) -> list[int]:
    """One code point of each class that the ranges tell apart, readable ones where there is a choice."""
    edges = sorted({0, _SURROGATES.start, _SURROGATES.stop, *(edge for a, b in ranges for edge in (a, b + 1))})
    out = []
    for low, following in zip(edges, [*edges[1:], _LAST + 1], strict=True):
        if low > _LAST or low in _SURROGATES:
            continue
        nice = next((ord(character) for character in _PREFERRED if low <= ord(character) < following), None)
        out.append(nice if nice is not None else max(low, min(0x20, following - 1)))
    return sorted(out, key=lambda code: (_PREFERRED.find(chr(code)) % len(_PREFERRED), code))
