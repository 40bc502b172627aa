from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.core.evolution.automaton import Undecided, shortest
from fivefold.core.fields.pattern import Pattern

ATOMS = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", "^", "$", "(?:a|b^)", "(?:|a$)", r"\n", "a?", "b{0,2}", "(ab){1,2}"]
)
PATTERNS = st.lists(ATOMS, max_size=4).map("".join) | st.lists(ATOMS, min_size=2, max_size=3).map("|".join)
TEXTS = ["".join(text) for length in range(5) for text in itertools.product("ab\n", repeat=length)]


@settings(max_examples=200, deadline=None)
@given(PATTERNS, st.none() | PATTERNS, st.integers(0, 2), st.integers(2, 4))
def test_it_finds_a_shortest_text_where_the_engine_knows_one(one, other, least, most) -> None:
    """Held against RE2 on every short text of the characters that the patterns tell apart."""
    pattern, refused_by = Pattern.parse(one), None if other is None else Pattern.parse(other)
    legal = [
        text
        for text in TEXTS
        if least <= len(text) <= most and pattern.matches(text) and not (refused_by and refused_by.matches(text))
    ]
    found = shortest(pattern, least, most, refused_by)

    if found is None:
        assert not legal
    else:
        assert least <= len(found) <= most
        assert pattern.matches(found)
        assert refused_by is None or not refused_by.matches(found)
        assert not legal or len(found) <= len(legal[0])


def test_no_limit_of_length_is_none() -> None:
    """Every text that holds b also holds b or c, however long."""
    assert shortest(Pattern.parse("b"), 0, None, Pattern.parse("b|c")) is None
    assert shortest(Pattern.parse("b|c"), 3, None, Pattern.parse("b")) == "aac"


def test_words_are_a_language_too() -> None:
    """An enumeration is held against a pattern."""
    assert shortest(Pattern.parse("^[ab]{1,2}$"), 0, None, ("a", "b", "aa", "ab", "bb")) == "ba"
    assert shortest(Pattern.parse("^[ab]$"), 0, None, ("a", "b")) is None
    assert shortest(None, 0, 0, ("", "x")) is None


def test_the_walk_is_bounded() -> None:
    """Sets of states can be very many."""
    with pytest.raises(Undecided):
        shortest(Pattern.parse("a[ab]{18}c|d"), 0, None, Pattern.parse("a[ab]{18}[cd]|d|e[ab]{9}"))


def test_a_text_beyond_ascii_is_found() -> None:
    """Code points count, none of them a surrogate."""
    assert shortest(Pattern.parse("^[\ud7ff-\ue001]$"), 0, None, Pattern.parse("\ud7ff|\ue000")) == "\ue001"
