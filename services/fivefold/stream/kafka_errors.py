"""What a cluster's clients say beside the answers of calls: kept where it ends a worker, told now and then otherwise.

librdkafka would write a line for every attempt at a connection, twenty a second where no broker answers. Here it is one
a while, and what will not mend itself is raised by whoever calls next.
"""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaError

from fivefold.core.errors import AccessError, FivefoldError, RunFailed, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.log_waiting import BRIEFLY, LogWait

NOTICE_SECONDS: Final = 30.0
"""How often the same trouble is told at most."""

SILENCE: Final = "connections are closed without a word, or never made; is FIVEFOLD_KAFKA_PROTOCOL the broker's?"
CERTIFICATES: Final = (
    "FIVEFOLD_KAFKA_CA_FILE names the authority of the brokers' certificates, _CERTIFICATE_FILE is ours"
)

_NO_TOKEN: Final = ("invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope", "access_denied")

FENCED_CODES: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # its own names
)
ACCESS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
AWAY: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        # What was asked of a connection that the client has let go of meanwhile.
        KafkaError._DESTROY,
        KafkaError._RESOLVE,
        KafkaError._SSL,
    }
)
LEADERLESS: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        # The client's own, while it knows nothing yet of a broker that has come back.
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
"""What is said of a partition that has just been made, or whose leader moves: for moments."""

TOO_LONG: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)
"""What a broker will say of the same events for ever; most of all that they are too long."""


def _is_distrust(error: KafkaError) -> bool:
    """Whether one of the two does not believe the other's certificate; anything else of TLS may be a broken line."""
    return error.code() in (KafkaError._SSL, KafkaError._TRANSPORT) and any(
        words in error.str() for words in ("certificate verify failed", " alert ")
    )


def _is_refused(error: KafkaError) -> bool:
    """Whether somebody is not let in. That no token comes may be the issuer's fault: it has to say that it gives none
    (https://www.rfc-editor.org/rfc/rfc6749#section-5.2)."""
    if error.code() not in ACCESS or "OAUTHBEARER token" not in error.str():
        return error.code() in ACCESS
    return any(word in error.str() for word in _NO_TOKEN)


def _is_no_reason(error: KafkaError) -> bool:
    """That all brokers are down says nothing of why. A connection that was good and is closed is made anew; where that
    fails, the next error says so."""
    return error.code() == KafkaError._ALL_BROKERS_DOWN or "in state UP)" in error.str()


class KafkaErrors:
    """What the clients of one worker have heard. Their threads tell it, the worker's asks."""

    def __init__(self, address: TopicAddress, group: str = "", slot: str = "", waiting: LogWait = BRIEFLY) -> None:
        """`waiting` is told what may mend itself, at most once in `NOTICE_SECONDS`."""
        self.address, self.waiting = address, waiting
        self._group, self._slot = group, slot
        self._where = ",".join(address.servers)
        self._told = -NOTICE_SECONDS
        self._final: FivefoldError | None = None
        self._reason = ""

    def heard(self, error: KafkaError) -> None:
        """Take an error that no call gives back; librdkafka's `error_cb`.

        A producer's fatal errors are none of these: its calls give them back, and a new producer mends them.
        """
        if _is_refused(error) or _is_distrust(error):
            self._final = self._final or self.refusal(error)
        elif error.code() in AWAY | ACCESS and not _is_no_reason(error):
            self._reason = error.str()
            self._notice()

    def silence(self) -> None:
        """Say that nobody has answered for a while."""
        self._notice()

    def _notice(self) -> None:
        now = time.monotonic()
        if now - self._told >= NOTICE_SECONDS:
            self._told = now
            self.waiting.notice(f"no answer from a broker of {self._where}: {self._reason or SILENCE}")

    def check(self) -> None:
        """Raise what was heard, where it will not mend itself."""
        if self._final is not None:
            raise self._final

    def refusal(self, error: KafkaError) -> FivefoldError:
        """An error that ends this worker, as ours: a slot that is another's, access, no broker, or anything else."""
        fenced = error.code() == KafkaError._FATAL and "group.instance.id" in error.str()
        if fenced or error.code() == KafkaError.FENCED_INSTANCE_ID or error.code() in FENCED_CODES:
            return self.conflict()
        if _is_refused(error):
            code = "forbidden" if "AUTHORIZATION" in error.name() else "unauthenticated"
            return AccessError(code, f"{self._where}: {error.str()}")
        if _is_distrust(error):
            return Unavailable("not_ready", f"{self._where}: {error.str()}", help=CERTIFICATES)
        if error.code() in AWAY or error.code() in ACCESS:
            reason = self._reason or f"{error.str()} ({SILENCE})"
            return Unavailable("not_ready", f"no broker answers at {self._where}: {reason}", retry_after=5.0)
        if error.code() in LEADERLESS:
            # It was asked for as long as a call may take, and will be there when its broker is.
            reason = f", {self._reason}" if self._reason else ""
            return Unavailable("not_ready", f"{self._where}: {error.str()}{reason}", retry_after=5.0)
        return RunFailed("storage_failed", f"{self._where}: {error.str()}")

    def conflict(self) -> RunFailed:
        """Somebody else is this member."""
        return RunFailed(
            "run_conflict",
            f"another worker has the slot {self._slot!r} of the group {self._group!r}",
            help="give each worker a slot of its own (FIVEFOLD_SLOT), or leave it out",
        )

    def too_long(self, error: KafkaError) -> RunFailed:
        """A broker does not take what is to be written."""
        return RunFailed(
            "storage_failed",
            f"{self._where} does not take the results or dead letters: {error.str()}",
            help="allow longer ones (max.message.bytes of their topics), or fewer at once (batch.size in "
            "FIVEFOLD_KAFKA_OPTIONS_FILE)",
        )
