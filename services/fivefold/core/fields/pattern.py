r"""The portable subset of regular expressions, and its two spellings.

A pattern means the same in every runtime only if it uses what RE2 and ECMAScript (with the `u` flag) agree on once
shorthand is written out: literals, classes, groups, alternation, bounded repeats, `^ $ . \d \w`. This module parses
that subset, says where a pattern leaves it, and writes it for RE2 (`to_re2`) and for JavaScript (`to_javascript`).
Matching has search semantics. Repeats are bounded because a JavaScript engine backtracks: an unbounded one would let a
value decide how long its own check takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

import re2

from fivefold.core.errors import ContractInvalid

MAX_REPEAT = 1000
"""RE2's own limit on a repeat count, nested counts multiplied (re2/re2.h, kMaxRepeat)."""

_DIGIT = ((0x30, 0x39),)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_NEWLINE = ((0x0A, 0x0A),)
_CONTROL = {"n": 0x0A, "r": 0x0D, "t": 0x09}
_SYNTAX = frozenset("^$\\.*+?()[]{}|/-")

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CharacterSet:
    """One character out of some ranges of code points, or out of all others."""

    ranges: Ranges
    negated: bool = False

    def write(self, js: bool) -> str:
        body = "".join(
            _char(low, js) if low == high else f"{_char(low, js)}-{_char(high, js)}" for low, high in self.ranges
        )
        return f"[{'^' if self.negated else ''}{body}]"


@dataclass(frozen=True)
class Character:
    """One code point."""

    code: int

    def write(self, js: bool) -> str:
        return _char(self.code, js)


@dataclass(frozen=True)
class Anchor:
    """The start of the text, or its end."""

    end: bool

    def write(self, js: bool) -> str:
        # RE2's `$` would also do without the multi-line flag; \A and \z cannot be turned into line anchors by any flag.
        return ("$" if self.end else "^") if js else (r"\z" if self.end else r"\A")


@dataclass(frozen=True)
class Series:
    """One part after another."""

    parts: tuple[Any, ...]

    def write(self, js: bool) -> str:
        return "".join(part.write(js) for part in self.parts)


@dataclass(frozen=True)
class Alternatives:
    """Any one of the options."""

    options: tuple[Series, ...]

    def write(self, js: bool) -> str:
        return "(?:" + "|".join(option.write(js) for option in self.options) + ")"


@dataclass(frozen=True)
class Repeat:
    """The part `low` to `high` times."""

    part: Any
    low: int
    high: int

    def write(self, js: bool) -> str:
        count = "?" if (self.low, self.high) == (0, 1) else f"{{{self.low},{self.high}}}"
        return f"(?:{self.part.write(js)}){count}"


def _char(code: int, js: bool) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\{'u' if js else 'x'}{{{code:X}}}"


def _example(node: Any, source: Random) -> str:
    if isinstance(node, Character):
        return chr(node.code)
    if isinstance(node, CharacterSet):
        if node.negated:
            return source.choice(
                [chr(code) for code in range(0x20, 0x7F) if not any(a <= code <= b for a, b in node.ranges)]
                or ["\u00e9"]
            )
        low, high = source.choice(node.ranges)
        return chr(source.randint(low, high))
    if isinstance(node, Series):
        return "".join(_example(part, source) for part in node.parts)
    if isinstance(node, Alternatives):
        return _example(source.choice(node.options), source)
    if isinstance(node, Repeat):
        count = source.randint(node.low, min(node.high, node.low + 16))
        return "".join(_example(node.part, source) for _ in range(count))
    return ""


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern. `Pattern.parse` raises `ContractInvalid` with the offset of what leaves the subset."""

    text: str
    tree: Alternatives = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, path: str = "pattern") -> Pattern:
        """Parse `text`; `path` is where it stands in the contract."""
        parsed = cls(text, _Parser(text, path).parse())
        try:
            parsed.matches("")
        except re2.error as err:
            raise ContractInvalid(f"the pattern is too large for RE2: {err}", path=path) from err
        return parsed

    def to_re2(self) -> str:
        """The pattern for RE2."""
        return self.tree.write(js=False)

    def to_javascript(self) -> str:
        """The pattern for `new RegExp(…, "u")`."""
        return self.tree.write(js=True)

    def matches(self, value: str) -> bool:
        """Whether the pattern is found anywhere in `value` (valid UTF-8)."""
        return self._compiled.search(value) is not None

    def example(self, source: Random) -> str:
        """Text made by walking the pattern once. An anchor in an odd place may keep it from matching: ask `matches`."""
        return _example(self.tree, source)

    @cached_property
    def _compiled(self) -> Any:
        options = re2.Options()
        options.log_errors = False
        return re2.compile(self.to_re2(), options)


class _Parser:
    """Recursive descent over the subset; everything outside it is refused with its offset."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.at = 0
        self.depth = 0

    def parse(self) -> Alternatives:
        if any(0xD800 <= ord(character) <= 0xDFFF for character in self.text):
            raise self.refuse("a lone surrogate is not a character")
        tree, _ = self.choice()
        if self.at < len(self.text):
            raise self.refuse("unmatched )")
        return tree

    def refuse(self, why: str, help: str | None = None) -> ContractInvalid:
        return ContractInvalid(f"{why} at offset {self.at} of {self.text!r}", path=self.path, help=help)

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self) -> str:
        character = self.peek()
        self.at += 1
        return character

    def choice(self) -> tuple[Alternatives, int]:
        options, repeats = [], 1
        while True:
            parts: list[Any] = []
            while self.peek() not in ("", "|", ")"):
                part, times = self.term()
                parts.append(part)
                repeats = max(repeats, times)
            options.append(Series(tuple(parts)))
            if self.peek() != "|":
                return Alternatives(tuple(options)), repeats
            self.at += 1

    def term(self) -> tuple[Any, int]:
        part, inner = self.atom()
        low, high = 1, 1
        following = self.peek()
        if following == "?":
            self.at += 1
            low, high = 0, 1
        elif following == "{":
            low, high = self.counts()
        elif following in ("*", "+"):
            raise self.refuse(
                f"the unbounded repeat {following!r}", help=f"give it a bound, such as {{{int(following == '+')},64}}"
            )
        else:
            return part, inner
        if isinstance(part, Anchor):
            raise self.refuse("a repeated anchor")
        if self.peek() in ("?", "{", "*", "+"):
            raise self.refuse("a repeat of a repeat", help="put the inner one into a group")
        if inner * max(high, 1) > MAX_REPEAT:
            raise self.refuse(f"more than {MAX_REPEAT} repeats")
        return Repeat(part, low, high), inner * max(high, 1)

    def counts(self) -> tuple[int, int]:
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not (low.isascii() and low.isdigit()) or (comma and high and not (high.isascii() and high.isdigit())):
            raise self.refuse("expected {n} or {n,m}", help=r"write a literal brace as \{")
        if comma and not high:
            raise self.refuse("the unbounded repeat {n,}", help="give it an upper bound: {n,m}")
        if len(low) > 4 or len(high) > 4 or int(high or low) > MAX_REPEAT or int(low) > int(high or low):
            raise self.refuse(f"expected a repeat of at most {MAX_REPEAT}, the smaller count first")
        self.at = end + 1
        return int(low), int(high or low)

    def atom(self) -> tuple[Any, int]:
        character = self.take()
        if character == "(":
            return self.group()
        if character == "[":
            return self.set(), 1
        if character == ".":
            return CharacterSet(_NEWLINE, negated=True), 1
        if character in "^$":
            return Anchor(character == "$"), 1
        if character == "\\":
            return self.escape(), 1
        if character in "*+?{}]":
            self.at -= 1
            raise self.refuse(f"{character!r} has nothing to act on", help=f"write a literal one as \\{character}")
        return Character(ord(character)), 1

    def group(self) -> tuple[Any, int]:
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self.peek() == "?":
            raise self.refuse("flags, look-around and named groups are outside the subset")
        self.depth += 1
        if self.depth > 50:
            raise self.refuse("more than 50 nested groups")
        inner, repeats = self.choice()
        if self.take() != ")":
            raise self.refuse("a group that is never closed")
        self.depth -= 1
        return inner, repeats

    def escape(self) -> CharacterSet | Character:
        character = self.take()
        if character == "d":
            return CharacterSet(_DIGIT)
        if character == "w":
            return CharacterSet(_WORD)
        if character in _CONTROL:
            return Character(_CONTROL[character])
        if character and character in _SYNTAX:
            return Character(ord(character))
        self.at -= 1
        raise self.refuse(f"the escape \\{character} is outside the subset")

    def set(self) -> CharacterSet:
        negated = self.peek() == "^"
        self.at += negated
        ranges: list[tuple[int, int]] = []
        while (character := self.take()) != "]":
            if not character:
                raise self.refuse("a class that is never closed")
            if character == "[":
                raise self.refuse("[ inside a class", help=r"write it as \[")
            item = self.escape() if character == "\\" else Character(ord(character))
            if isinstance(item, CharacterSet):
                ranges.extend(item.ranges)
                continue
            high = item.code
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                upper = self.take()
                end = self.escape() if upper == "\\" else Character(ord(upper))
                if isinstance(end, CharacterSet) or end.code < item.code:
                    raise self.refuse("a range whose end comes before its start")
                high = end.code
            ranges.append((item.code, high))
        if not ranges:
            raise self.refuse("an empty class")
        return CharacterSet(tuple(ranges), negated)
