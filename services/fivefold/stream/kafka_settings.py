"""Settings of a connection to Kafka, and as librdkafka's: what it may be told, and what would break exactly-once.

Secrets come from files, or from variables where there is no other way; never from the command line.
https://github.com/confluentinc/librdkafka/blob/v2.16.0/CONFIGURATION.md names its settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.core.settings import SettingsError

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

REFUSED: Final = {
    "acks": "a result that is not on every in-sync replica can vanish after its event is done",
    "request.required.acks": "a result that is not on every in-sync replica can vanish after its event is done",
    "auto.commit.enable": "an event would be done before its result is written",
    "enable.auto.commit": "an event would be done before its result is written",
    "auto.offset.reset": "it is --start; a group whose progress is not told would begin anew, and score all again",
    "enable.auto.offset.store": "an event would be done before its result is written",
    "enable.idempotence": "a result that is sent again would stand there twice",
    "isolation.level": "events of transactions that are taken back would be scored",
    "transactional.id": "it is made of the group and the slot: two workers with one id end each other",
    "group.id": "it is --group",
    "group.instance.id": "it is the slot",
    "bootstrap.servers": "they are in the address",
    "metadata.broker.list": "they are in the address",
    "enable.partition.eof": "without it a group never comes to the end of a topic that is written by transactions",
    "partition.assignment.strategy": "events in work must not be taken away while others stay",
    "queuing.strategy": "the order of a partition must stay",
    "enable.gapless.guarantee": "a part of a transaction would be given up",
}
"""Settings of librdkafka that nobody may set here, each with the reason."""

SESSION_SECONDS: Final = 10
"""A member that was not heard of for so long is taken for dead."""

_SECRETS = ("password", "secret", "ssl.key.pem", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How a Kafka cluster is reached. Raises `SettingsError`."""

    kafka_protocol: str = ""
    """`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`; empty: as the other settings say."""

    kafka_ca_file: str = ""
    """PEM of the authorities that a broker's certificate must come from; empty: the system's."""

    kafka_certificate_file: str = ""
    """PEM of the certificate that says who we are."""

    kafka_key_file: str = ""
    """PEM of its key."""

    kafka_mechanism: str = ""
    """How a user is proven: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 (the default where a user is named), OAUTHBEARER."""

    kafka_username: str = ""
    """The user, or the client id for OAUTHBEARER."""

    kafka_password_file: str = ""
    """A file with the user's password, or the client's secret."""

    kafka_token_url: str = ""
    """Where OAUTHBEARER gets its tokens (OpenID Connect, client credentials)."""

    kafka_token_scope: str = ""
    """The scope that it asks for."""

    kafka_group_protocol: str = "classic"
    """`classic`, or `consumer` (KIP-848, brokers from 4.0)."""

    kafka_transaction_seconds: float = 15.0
    """How long readers may wait for a transaction whose worker is gone."""

    kafka_poll_seconds: float = 60.0
    """How long a batch may keep a worker from its group. So long a group that is put together anew after a broker's
    crash waits for a member that is dead; a worker that takes longer is put out, and its batch is read again."""

    kafka_options_file: str = ""
    """Further settings of librdkafka, one NAME=VALUE a line."""

    def __post_init__(self) -> None:
        if self.kafka_protocol and self.kafka_protocol not in PROTOCOLS:
            raise SettingsError(f"kafka_protocol: expected one of {', '.join(PROTOCOLS)}, got {self.kafka_protocol!r}")
        if self.kafka_mechanism and self.kafka_mechanism not in MECHANISMS:
            raise SettingsError(
                f"kafka_mechanism: expected one of {', '.join(MECHANISMS)}, got {self.kafka_mechanism!r}"
            )
        if self.kafka_group_protocol not in ("classic", "consumer"):
            raise SettingsError(
                f"kafka_group_protocol: expected classic or consumer, got {self.kafka_group_protocol!r}"
            )
        if bool(self.kafka_certificate_file) != bool(self.kafka_key_file):
            raise SettingsError("kafka_certificate_file and kafka_key_file: expected both or none")
        if self.kafka_username and not self.kafka_password_file:
            raise SettingsError("kafka_password_file: expected a file with the password of kafka_username")
        if self.kafka_mechanism == "OAUTHBEARER" and not self.kafka_token_url.startswith(("https://", "http://")):
            raise SettingsError("kafka_token_url: OAUTHBEARER needs the URL that gives tokens")
        if not 1 <= self.kafka_transaction_seconds <= 900:
            raise SettingsError(f"kafka_transaction_seconds: expected 1 to 900, got {self.kafka_transaction_seconds:g}")
        least, most = SESSION_SECONDS, 86400
        if not least <= self.kafka_poll_seconds <= most:
            raise SettingsError(f"kafka_poll_seconds: expected {least} to {most}, got {self.kafka_poll_seconds:g}")

    def connection(self) -> dict[str, str]:
        """The settings of librdkafka for reaching the cluster; reads the files. Raises `SettingsError`."""
        out: dict[str, str] = {}
        sasl = bool(self.kafka_username or self.kafka_mechanism)
        tls = bool(self.kafka_ca_file or self.kafka_certificate_file)
        out["security.protocol"] = self.kafka_protocol or (
            ("sasl_ssl" if sasl else "ssl") if tls or sasl else "plaintext"
        )
        for name, value in (
            ("ssl.ca.location", self.kafka_ca_file),
            ("ssl.certificate.location", self.kafka_certificate_file),
            ("ssl.key.location", self.kafka_key_file),
        ):
            if value:
                _text(value, name)
                out[name] = value
        if sasl:
            mechanism = self.kafka_mechanism or "SCRAM-SHA-512"
            out["sasl.mechanisms"] = mechanism
            secret = _text(self.kafka_password_file, "kafka_password_file").strip() if self.kafka_password_file else ""
            if mechanism == "OAUTHBEARER":
                out |= {
                    "sasl.oauthbearer.method": "oidc",
                    "sasl.oauthbearer.client.id": self.kafka_username,
                    "sasl.oauthbearer.client.secret": secret,
                    "sasl.oauthbearer.token.endpoint.url": self.kafka_token_url,
                }
                if self.kafka_token_scope:
                    out["sasl.oauthbearer.scope"] = self.kafka_token_scope
            else:
                out |= {"sasl.username": self.kafka_username, "sasl.password": secret}
        return out | self._options()

    def producer(self, group: str, slot: str) -> dict[str, str]:
        """The settings of a transactional producer, beside `connection`."""
        return {
            "transactional.id": f"{group}.{slot}",
            "transaction.timeout.ms": str(round(self.kafka_transaction_seconds * 1000)),
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "linger.ms": "5",
            # Right after a commit the broker is not ready for the next transaction: the default back-off of 100 ms
            # would make each batch wait for it. It doubles from here where there is an outage.
            "retry.backoff.ms": "1",
        }

    def consumer(self, group: str, slot: str) -> dict[str, str]:
        """The settings of a member of a group, beside `connection`."""
        out = {
            "group.id": group,
            "enable.auto.commit": "false",
            "enable.auto.offset.store": "false",
            "isolation.level": "read_committed",
            # Where a partition begins is said, never guessed: `kafka_positions`.
            "auto.offset.reset": "error",
            "enable.partition.eof": "true",
            "queued.max.messages.kbytes": "16384",
            "max.poll.interval.ms": str(round(self.kafka_poll_seconds * 1000)),
        }
        if self.kafka_group_protocol == "consumer":
            out["group.protocol"] = "consumer"
        else:
            out |= {
                "partition.assignment.strategy": "cooperative-sticky",
                "group.instance.id": f"{group}.{slot}",
                "session.timeout.ms": str(SESSION_SECONDS * 1000),
            }
        return out

    def _options(self) -> dict[str, str]:
        out: dict[str, str] = {}
        if not self.kafka_options_file:
            return out
        for number, line in enumerate(_text(self.kafka_options_file, "kafka_options_file").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            name = name.strip()
            where = f"{self.kafka_options_file}: line {number}"
            if not equals or not name:
                raise SettingsError(f"{where}: expected NAME=VALUE")
            if name in REFUSED:
                raise SettingsError(f"{where}: {name} is not to be set: {REFUSED[name]}")
            out[name] = value.strip()
        return out


def shown(settings: dict[str, str]) -> dict[str, str]:
    """Settings as a log may have them: without what opens a door."""
    return {
        name: "…" if any(part in name for part in _SECRETS) and "url" not in name else value
        for name, value in settings.items()
    }


def _text(path: str, name: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as err:
        raise SettingsError(f"{name}: cannot read {path}: {err.strerror}") from err
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: {path} is not text") from None
