"""A worker without the transaction: the same loop, the same client, results first and then the offsets.

    python -m loadtest.stream.at_least_once --model BUNDLE --from ADDRESS --to ADDRESS --group NAME

What it costs to be exactly once is the difference to this. It is here and not in the product, because nobody who has
the choice should need it: a worker that dies leaves results that come a second time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from confluent_kafka import Producer, TopicPartition

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.local.signals import stopping
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Outgoing
from fivefold.stream.kafka_log import KafkaLog
from fivefold.stream.kafka_settings import KafkaSettings
from fivefold.stream.scoring import EventScorer
from fivefold.stream.settings import StreamSettings
from fivefold.stream.worker import StreamWorker


class AtLeastOnceLog(KafkaLog):
    """A member that writes, waits until all is written, and commits its offsets."""

    def _made_producer(self) -> Producer:
        kept = {name: value for name, value in self._producing.items() if not name.startswith("transaction")}
        return Producer(kept | {"enable.idempotence": "true"})

    def _begin(self, producer: Producer) -> None:
        """There is nothing that an older one may have begun."""

    def _transact(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        for each in outgoing:
            self._produce(each)
        if self._producer.flush(30):
            raise TimeoutError("results could not be written")
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in positions.items()]
        self._consumer.commit(offsets=offsets, asynchronous=False)
        self._done.update(positions)


def main() -> None:
    """Work until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--group", required=True)
    given = parser.parse_args()
    source, to = TopicAddress.parse(given.source, "--from"), TopicAddress.parse(given.to, "--to")
    dead = f"{source.topic}.dead-letter"
    scorer = Scorer.open(Bundle.open(given.model))
    log = AtLeastOnceLog(source, given.group, "0", KafkaSettings(), to=[to.topic, dead])
    events = EventScorer(scorer, to=to.topic, dead_letter=dead, group=given.group)
    try:
        with stopping() as stop:
            StreamWorker(log, events, StreamSettings(group=given.group), stopped=stop.wait).run()
    finally:
        log.close()
        scorer.close()


if __name__ == "__main__":
    main()
