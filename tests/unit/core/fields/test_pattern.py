"""The portable pattern subset: what it takes, what it refuses, and that its meaning is the same in both spellings."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^[A-Z]{2}\\d{4}$", ["AB1234"], ["AB1234\n", "xAB1234", "AB١٢٣٤", "AB12345"]),
        ("a|b", ["xax", "b"], ["c", ""]),
        ("^(?:ab){1,2}$", ["ab", "abab"], ["ababab", "a"]),
        ("^.$", ["😀", "\r", "é"], ["\n", "", "ab"]),
        ("^\\w{1,5}$", ["a_9Z"], ["é", "a b", "abcdef"]),
        ("^[^a-c]$", ["d", "\n"], ["a", ""]),
        ("^\\.\\*$", [".*"], ["ab"]),
        ("", ["", "anything"], []),
        ("^[\\]\\-a]$", ["]", "-", "a"], ["b", "\\"]),
        ("^-?[0-9]{1,3}$", ["-12", "7"], ["--1", "1234"]),
    ],
)
def test_search_semantics(pattern, yes, no):
    """A pattern is searched for; anchors mean the ends of the text and shorthand is ASCII."""
    parsed = Pattern.parse(pattern)

    assert [value for value in yes if not parsed.matches(value)] == []
    assert [value for value in no if parsed.matches(value)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "a*",
        "a+",
        "a{2,}",
        "a{2,1}",
        "a{1001}",
        "(?i)a",
        "(?=a)",
        "(?<n>a)",
        "[a",
        "(a",
        "a)",
        "\\b",
        "\\s",
        "\\D",
        "\\u0041",
        "*a",
        "[]",
        "[z-a]",
        "a??",
        "^{2}",
        "((a{40}){40})",
        "a{x}",
        "{",
        "[a-\\d]",
        "\\",
        "[[:alpha:]]",
        "a{1,2}{2}",
    ],
)
def test_outside_the_subset(pattern):
    """Everything else is refused with the offset, and the path of the keyword."""
    with pytest.raises(ContractInvalid) as caught:
        Pattern.parse(pattern, path="inputs[0].pattern")

    assert caught.value.path == "inputs[0].pattern"


_ATOMS = st.sampled_from(["a", "b", ".", "\\d", "\\w", "[ab]", "[^a]", "[0-9x]", "é", "\\.", "😀", "\\n"])


@st.composite
def _patterns(draw, depth=2):
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        atom = draw(_ATOMS)
        if depth and draw(st.booleans()):
            atom = f"({draw(_patterns(depth=depth - 1))})"
        parts.append(atom + draw(st.sampled_from(["", "?", "{2}", "{0,3}"])))
    body = "".join(parts)
    if draw(st.booleans()):
        body = f"{body}|{draw(_ATOMS)}"
    return draw(st.sampled_from([body, f"^{body}", f"{body}$", f"^(?:{body})$"]))


@given(_patterns(), st.text(alphabet="ab019xé😀.\n_", max_size=8))
def test_agrees_with_another_engine(pattern, value):
    """Written out for RE2, a pattern finds what Python's own engine finds in the same expansion."""
    parsed = Pattern.parse(pattern)
    python = re.sub(r"\\x\{([0-9A-F]+)\}", lambda m: re.escape(chr(int(m[1], 16))), parsed.to_re2()).replace(
        "\\z", "\\Z"
    )

    assert parsed.matches(value) == (re.search(python, value) is not None)


@given(_patterns())
def test_javascript_spelling_is_ascii_and_explicit(pattern):
    """The JavaScript form has no shorthand left whose meaning a flag or a locale could change."""
    script = Pattern.parse(pattern).to_javascript()

    assert script.isascii()
    assert not re.search(r"\\[dwsb]", script)
