"""FastStream on Confluent's client: a subscriber and a publisher of batches, offsets committed behind each batch.

The decoder is msgspec's rather than one record's validation by pydantic after the other. It has no transactions, so it
is at least once.
"""

import asyncio
import logging
from typing import Any

import msgspec
from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker
from scoring import Scorer
from stream_topics import ANSWER, block, given

address, source, target, group = given()
broker = KafkaBroker(
    address, linger_ms=5, compression_type="zstd", apply_types=False, logger=None, log_level=logging.WARNING
)
application = FastStream(broker, logger=None)
score = Scorer()
decode = msgspec.json.Decoder(dict[str, float]).decode


async def decoded(message: Any) -> Any:
    """The records of a batch."""
    return [decode(each) for each in message.body]


@broker.publisher(target, batch=True)
@broker.subscriber(
    source,
    group_id=group,
    auto_offset_reset="earliest",
    batch=True,
    max_records=5000,
    ack_policy=AckPolicy.ACK,
    decoder=decoded,
)
async def handle(records: Any) -> Any:
    """One call of the model for a batch."""
    return [{ANSWER: each} for each in score(block(records))[:, 0].tolist()]


if __name__ == "__main__":
    asyncio.run(application.run())
