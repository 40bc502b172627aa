from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import Field


def field(name: str, *aliases: str) -> Field:
    return Field(name, "float64", aliases=aliases)


def names(fields) -> list[str]:
    return [field.name for field in fields]


def matched(pairing) -> list[tuple[str, str]]:
    return [(sender.name, receiver.name) for sender, receiver in pairing.matched]


def test_a_name_counts_before_an_alias() -> None:
    """The field of that name is meant, whoever else answers to it."""
    pairing = pairs([field("a"), field("b")], [field("c", "a"), field("a")])

    assert matched(pairing) == [("a", "a")]
    assert names(pairing.unsent) == ["c"]
    assert names(pairing.unreceived) == ["b"]


def test_an_alias_of_the_receiver_takes_a_field_of_that_name() -> None:
    """So an input is renamed."""
    assert matched(pairs([field("side")], [field("site", "side")])) == [("side", "site")]


def test_an_alias_of_the_sender_answers_a_receiver_of_that_name() -> None:
    """So an output is renamed: its old name is an alias."""
    assert matched(pairs([field("score", "probability")], [field("probability")])) == [("score", "probability")]


fields = st.lists(
    st.builds(field, st.sampled_from("abcd"), st.sampled_from("abcdef")), max_size=4, unique_by=lambda f: f.name
)


@given(fields, fields)
def test_every_field_is_in_one_place(senders, receivers) -> None:
    """None is lost, none is there twice, and both sides keep their order."""
    pairing = pairs(senders, receivers)
    taken, given_ = [s for s, _ in pairing.matched], [r for _, r in pairing.matched]

    assert sorted(names([*taken, *pairing.unreceived])) == sorted(names(senders))
    assert [r for r in receivers if r in given_] == given_
    assert [r for r in receivers if r not in given_] == list(pairing.unsent)
    assert [s for s in senders if s not in taken] == list(pairing.unreceived)
