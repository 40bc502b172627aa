"""Addresses as they are shown: credentials are not in them, and what tells a place is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core import redact

SECRET = "hunter2"
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/demo.tar?X-Amz-Signature=hunter2", "https://host/demo.tar"),
        ("https://host/demo.tar?X-Goog-Signature=hunter2&a=b", "https://host/demo.tar"),
        (
            "https://store.blob.core.windows.net/c/demo.tar?sv=1&sig=hunter2",
            "https://store.blob.core.windows.net/c/demo.tar",
        ),
        ("az://container/demo.tar?sig=hunter2", "az://container/demo.tar"),
        ("s3://hunter2@bucket/key", "s3://…@bucket/key"),
        ("gs://bucket/key?token=hunter2", "gs://bucket/key"),
        ("https://me:hunter2@host:8443/demo.tar", "https://…@host:8443/demo.tar"),
        ("https://hunter2@host/demo.tar", "https://…@host/demo.tar"),
        ("https://me:hunter2@[::1]:8443/demo.tar", "https://…@[::1]:8443/demo.tar"),
        ("https://a@b:hunter2@host/demo.tar", "https://…@host/demo.tar"),
        ("https://me:hun/hunter2@host/demo.tar", "https://…"),
        ("https://me:hun?hunter2@host/demo.tar", "https://…"),
        ("https://me:12?hunter2@host/demo.tar", "https://…"),
        ("https://me:hun#hunter2@host/demo.tar", "https://…"),
        ("https://me:hunter2", "https://…"),
        ("https://host/demo.tar#token=hunter2", "https://host/demo.tar"),
        (f"https://host/demo.tar#sha256={DIGEST}?sig=hunter2", "https://host/demo.tar"),
        ("https://host/demo.tar;token=hunter2", "https://host/demo.tar"),
        ("https:/host/demo.tar?sig=hunter2", "https:/host/demo.tar"),
        ("  https://host/demo.tar?sig=hunter2", "https://host/demo.tar"),
        ("host/demo.tar?sig=hunter2", "host/demo.tar"),
        ("me:hunter2@host/demo.tar", "…@host/demo.tar"),
        ("https://host/demo@1.0.0.tar", "https://host/demo@1.0.0.tar"),
        ("https://host:8443/@scope/demo.tar", "https://host:8443/@scope/demo.tar"),
        ("https://[::1]:8443/a@b", "https://[::1]:8443/a@b"),
        ("bundles/demo@1", "bundles/demo@1"),
        ("what?", "what?"),
        ("/srv/a b#1.tar", "/srv/a b#1.tar"),
        ("", ""),
    ],
)
def test_an_address(address: str, shown: str) -> None:
    assert redact.address(address) == shown
    assert SECRET not in shown


@given(
    st.sampled_from(["http", "https", "s3", "gs", "az", "file"]),
    st.text(alphabet="ab:/?#@[]1;%=.", max_size=12),
    st.sampled_from(["?X-Amz-Signature=", "?a=b&sig=", "#token=", ";sig=", "?token="]),
    st.booleans(),
)
def test_no_address_shows_it(scheme: str, path: str, mark: str, user: bool) -> None:
    """Whatever surrounds it."""
    text = f"{scheme}://{f'me:{SECRET}@' if user else ''}host/{path}{mark}{SECRET}"

    assert SECRET not in redact.address(text)
    assert SECRET not in redact.text(f"cannot read {text}: no route (url {text!r})")


@given(st.text(max_size=200))
def test_any_text_is_shown(text: str) -> None:
    assert len(redact.address(text)) <= redact.MAX_CHARACTERS
    assert isinstance(redact.text(text), str)


def test_words_around_addresses_stay() -> None:
    """And a reference keeps its digest, which is no secret and tells bundles apart."""
    said = (
        f"GET https://me:hunter2@host/x?sig=hunter2, then s3://b/k: 'https://h/d.tar?t=hunter2#sha256={DIGEST}' at 5?"
    )

    assert redact.text(said) == f"GET https://…@host/x then s3://b/k: 'https://h/d.tar#sha256={DIGEST}' at 5?"
    assert redact.text("example: https://host/d.tar#sha256=DIGEST") == "example: https://host/d.tar#sha256=DIGEST"


def test_values_of_json() -> None:
    given = {
        "from": "https://h/x?sig=hunter2",
        "all": ["gs://b/k?token=hunter2", 7, None],
        "https://a:hunter2@b": {"a": 1.5},
    }

    shown = redact.value(given)

    assert shown == {"from": "https://h/x", "all": ["gs://b/k", 7, None], "https://…@b": {"a": 1.5}}
