"""References: what is one, what it must say, and what a message may show of it."""

import pytest

from fivefold.core.errors import BundleInvalid
from fivefold.delivery.reference import Reference

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "scheme", "place", "digest"),
    [
        ("bundles/demo", "file", "bundles/demo", None),
        ("/srv/a b.tar", "file", "/srv/a b.tar", None),
        (f"bundles/demo#sha256={DIGEST}", "file", "bundles/demo", DIGEST),
        ("odd#name", "file", "odd#name", None),
        ("file:///srv/a%20b.tar", "file", "/srv/a b.tar", None),
        (f"file://localhost/srv/demo#sha256={DIGEST}", "file", "/srv/demo", DIGEST),
        (f"https://host/demo.tar#sha256={DIGEST.upper()}", "https", "https://host/demo.tar", DIGEST),
        (f"HTTPS://host:1/demo.tar?a=b#sha256={DIGEST}", "https", "HTTPS://host:1/demo.tar?a=b", DIGEST),
        (f"s3://bucket/a/demo.tar#sha256={DIGEST}", "s3", "s3://bucket/a/demo.tar", DIGEST),
        (f"gs://bucket/demo.tar#sha256={DIGEST}", "gs", "gs://bucket/demo.tar", DIGEST),
    ],
)
def test_what_is_a_reference(text: str, scheme: str, place: str, digest: str | None) -> None:
    """Paths and URLs; a path may hold any character."""
    assert Reference.parse(text) == Reference(scheme, place, digest)


@pytest.mark.parametrize(
    ("text", "error", "help"),
    [
        ("", "got nothing", ""),
        ("https://host/demo.tar", "asked for by its digest", "fivefold bundle show"),
        ("s3://bucket/demo.tar", "asked for by its digest", "fivefold bundle show"),
        ("https://host/demo.tar#sha512=00", "got #sha512=00", "fivefold bundle show"),
        ("https://host/demo.tar#sha256=abc", "expected 64 hexadecimal digits", "fivefold bundle show"),
        ("bundles/demo#sha256=abc", "expected 64 hexadecimal digits", "fivefold bundle show"),
        (f"ftp://host/demo.tar#sha256={DIGEST}", "a URL of 'ftp'", "https://"),
        (f"https://host#sha256={DIGEST}", "https://HOST/PATH", ""),
        (f"https:///demo.tar#sha256={DIGEST}", "https://HOST/PATH", ""),
        (f"https://host:x/demo.tar#sha256={DIGEST}", "not a URL", ""),
        (f"https://[::1/demo.tar#sha256={DIGEST}", "not a URL", ""),
        (f"s3://bucket#sha256={DIGEST}", "s3://BUCKET/KEY", ""),
        (f"gs:///key#sha256={DIGEST}", "gs://BUCKET/KEY", ""),
        ("file://host/demo.tar", "file:///ABSOLUTE/PATH", ""),
        ("file://demo.tar", "file:///ABSOLUTE/PATH", ""),
    ],
)
def test_what_is_none(text: str, error: str, help: str) -> None:
    """Each is refused with what was expected."""
    with pytest.raises(BundleInvalid) as refused:
        Reference.parse(text)

    assert error in refused.value.message
    assert help in (refused.value.help or "")


def test_a_password_is_refused_and_not_repeated() -> None:
    """It would stand in the cluster's objects and in logs."""
    with pytest.raises(BundleInvalid, match="holds no user and password") as refused:
        Reference.parse(f"https://me:hunter2@host/demo.tar#sha256={DIGEST}")

    assert "hunter2" not in str(refused.value)


def test_a_signed_query_is_kept_and_not_shown() -> None:
    """Whoever reads a log must not be able to use it."""
    reference = Reference.parse(f"https://host/demo.tar?X-Amz-Signature=secret#sha256={DIGEST}")

    assert "secret" in reference.place
    assert "secret" not in reference.shown + reference.name
    assert (reference.shown, reference.name) == ("https://host/demo.tar", "demo.tar")


@pytest.mark.parametrize(
    "text",
    [
        "bundles/demo",
        f"/srv/demo#sha256={DIGEST}",
        f"https://h/d.tar?x=%2F#sha256={DIGEST}",
        f"s3://b/k k#sha256={DIGEST}",
    ],
)
def test_its_text_is_the_same_reference(text: str) -> None:
    """So it travels through arguments and JSON."""
    assert Reference.parse(str(Reference.parse(text))) == Reference.parse(text)


def test_an_absolute_reference_keeps_its_digest(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a process with another working directory; a URL stays as it is."""
    monkeypatch.chdir(tmp_path)

    assert str(Reference.parse(f"demo#sha256={DIGEST}").absolute()) == f"{tmp_path.resolve()}/demo#sha256={DIGEST}"
    assert Reference.parse(f"s3://b/k#sha256={DIGEST}").absolute().place == "s3://b/k"


@pytest.mark.parametrize(
    ("host", "plain"), [("127.0.0.1", False), ("[::1]:80", False), ("localhost", False), ("h", True)]
)
def test_http_is_clear_beyond_this_machine(host: str, plain: bool) -> None:
    """And https never is."""
    assert Reference.parse(f"http://{host}/d.tar#sha256={DIGEST}").plain_http is plain
    assert not Reference.parse(f"https://{host}/d.tar#sha256={DIGEST}").plain_http
