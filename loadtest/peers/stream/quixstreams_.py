"""Quix Streams: a dataframe over the topic, a function for each record, JSON in and out.

It has no batches of a function's own: each record is a call of the model. Progress is committed every half second,
in transactions where it is told to be exactly once.
"""

import os

from quixstreams import Application
from scoring import Scorer
from stream_topics import ANSWER, EXACTLY_ONCE, block, given

if __name__ == "__main__":
    broker, source, target, group = given()
    score = Scorer()
    application = Application(
        broker_address=broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once" if os.environ.get(EXACTLY_ONCE) else "at-least-once",
        commit_interval=0.5,
        producer_extra_config={"linger.ms": 5, "compression.type": "zstd"},
        auto_create_topics=False,
        loglevel="WARNING",
    )
    frame = application.dataframe(application.topic(source, value_deserializer="json"))
    frame = frame.apply(lambda record: {ANSWER: float(score(block([record]))[0, 0])})
    frame.to_topic(application.topic(target, value_serializer="json"))
    application.run()
