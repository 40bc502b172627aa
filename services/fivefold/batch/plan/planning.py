"""The plan of a run: its files divided into fragments, and what makes it the run that it is.

A fragment's id is its number and the digest of its file's URL and identity and of its range; the run's id is that of
its fragments and of everything else that decides a byte of the output. The plan is kept beside the output, so that a
later start need not read text again to know where it was divided. Doing the work is left to `run`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import msgspec

from fivefold.batch import formats
from fivefold.batch.formats.carried_schema import schema
from fivefold.batch.formats.chunk import Check, Range, ReadRequest, by_name, nothing
from fivefold.batch.formats.dialect import TextDialect
from fivefold.batch.plan.contract_choice import view_of
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.storage.sources import SourceFile
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.view import View

REVISION = 3
"""Raised by a change of this code that changes a byte of the output."""

FORMAT = 1
"""Of the plan as it is kept."""

SMALLEST = 8 * 1024 * 1024
"""Bytes below which a fragment is not made smaller to occupy more workers."""

SHARES = 32
"""Fragments that a run has at least, as long as they stay above `SMALLEST`: so that workers finish together. With more
ranges than these, small files are packed together."""

PACKED_ROWS = 100_000
"""Rows of small files that are packed together at most: bytes say little of columns that compress well, and a fragment
is what a killed worker's successor does again."""

THREADS = 4


@dataclass(frozen=True, slots=True)
class Fragment:
    """A range of a file: what one worker scores as one."""

    id: str
    source: SourceFile
    range: Range
    carried: bytes = b""
    """The schema of the carried columns (`formats.carried`)."""
    more: tuple[tuple[SourceFile, Range], ...] = ()
    """Further files, small and whole, that are done together with the first."""

    @property
    def ranges(self) -> tuple[tuple[SourceFile, Range], ...]:
        """The ranges of all its files, in order."""
        return (self.source, self.range), *self.more

    @property
    def rows(self) -> int | None:
        """Its rows; None where only reading will tell."""
        return _sum([part.rows for _, part in self.ranges])

    @property
    def name(self) -> str:
        """How a message names it."""
        return f"fragment {self.id}, {self.source.url} from row {self.range.row}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it starts. `facts` are what decides the output beside the input; `ignored` the columns of tables
    that nobody asked for."""

    run_id: str
    facts: Mapping[str, Any]
    sources: tuple[SourceFile, ...]
    fragments: tuple[Fragment, ...]
    ignored: tuple[str, ...] = field(default=())
    order: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for at the first start, so that a later one can ask for the same."""
    carried: bytes = b""
    """The schema of the carried columns in every part."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Paths that the patterns match and that are not read, with the reasons."""

    @property
    def rows(self) -> int | None:
        """The rows of the input; None where only reading compressed text will tell."""
        return _sum([fragment.rows for fragment in self.fragments])

    def to_bytes(self) -> bytes:
        """As it is kept."""
        indexes = {source.url: index for index, source in enumerate(self.sources)}
        return msgspec.json.encode(
            {
                "format": FORMAT,
                "run_id": self.run_id,
                "facts": self.facts,
                "order": self.order,
                "ignored": self.ignored,
                "passed_over": self.passed_over,
                "carried": self.carried,
                "sources": self.sources,
                "fragments": [[each.id, indexes[each.source.url], each.range] for each in self.fragments],
                "more": {
                    each.id: [[indexes[source.url], part] for source, part in each.more]
                    for each in self.fragments
                    if each.more
                },
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """A plan that was kept. Raises `VersionError` for another version's, `ValueError` and `msgspec`'s errors for
        bytes that are none."""
        head = msgspec.json.decode(data, type=_PlanFormat)
        if head.format != FORMAT:
            raise VersionError(f"expected a plan of format {FORMAT}, got one of format {head.format}")
        kept = msgspec.json.decode(data, type=_KeptPlan)
        indexes = [index for _, index, _ in kept.fragments] + [
            index for more in kept.more.values() for index, _ in more
        ]
        if any(not 0 <= index < len(kept.sources) for index in indexes):
            raise ValueError("a fragment is of a file that is not among the plan's")
        fragments = tuple(
            Fragment(
                id,
                kept.sources[index],
                part,
                kept.carried,
                tuple((kept.sources[other], whole) for other, whole in kept.more.get(id, ())),
            )
            for id, index, part in kept.fragments
        )
        return cls(
            kept.run_id,
            kept.facts,
            tuple(kept.sources),
            fragments,
            tuple(kept.ignored),
            kept.order,
            kept.carried,
            kept.passed_over,
        )


class VersionError(ValueError):
    """A plan that another version of fivefold has kept in another form."""


class _PlanFormat(msgspec.Struct):
    format: int


class _KeptPlan(msgspec.Struct):
    run_id: str
    facts: dict[str, Any]
    order: dict[str, Any]
    ignored: list[str]
    sources: list[SourceFile]
    fragments: list[tuple[str, int, Range]]
    more: dict[str, list[tuple[int, Range]]] = {}
    carried: bytes = b""
    passed_over: tuple[tuple[str, str], ...] = ()


def facts(bundle: Bundle, settings: BatchSettings) -> dict[str, Any]:
    """What decides the output of a run beside its input, as JSON values."""
    dialect = settings.dialect
    view = view_of(bundle, settings)
    other = (
        {
            "dialect": {
                name: list(value) if isinstance(value, tuple) else value for name, value in asdict(dialect).items()
            }
        }
        if dialect != TextDialect()
        else {}
    )
    return other | {
        "model": bundle.name,
        "version": bundle.version,
        "bundle": bundle.digest,
        "contract": view.name,
        "contract_sha256": view.contract.digest,
        "format": settings.format,
        "columns": list(settings.columns),
        "strict_columns": settings.strict_columns,
        "fragment_bytes": settings.fragment_bytes,
        "chunk_rows": settings.chunk_rows,
        "revision": REVISION,
        "code": {name: _version(name) for name in ("fivefold", "numpy", "onnxruntime", "pyarrow")},
    }


def read_request(view: View, settings: BatchSettings) -> ReadRequest:
    """What a run wants of its files."""
    inputs = by_name(view.inputs)
    foreign = tuple(name for name in settings.columns if name not in inputs)
    return ReadRequest(
        view.inputs,
        foreign,
        settings.strict_columns,
        settings.chunk_rows,
        settings.store_http,
        settings.dialect,
        settings.allow_torn,
    )


def make(sources: Sequence[SourceFile], facts: Mapping[str, Any], request: ReadRequest, check: Check = nothing) -> Plan:
    """Check every file and divide it. Raises `ContractError` for a file that cannot be scored at all, and what `check`
    raises, which is called now and then."""
    total = sum(source.size for source in sources)
    target = min(facts["fragment_bytes"], max(SMALLEST, total // SHARES))
    readers = {name: formats.of(name, request) for name in {source.format for source in sources}}

    def ignored_of(source: SourceFile) -> Sequence[str]:
        return readers[source.format].check_layout(source)

    def ranges_of(source: SourceFile) -> Sequence[Range]:
        return readers[source.format].ranges(source, target, check)

    with ThreadPoolExecutor(THREADS) as threads:
        # All of the files' heads first: a run that cannot be done is refused before text is read.
        ignored = tuple(dict.fromkeys(name for names in threads.map(ignored_of, sources) for name in names))
        kinds = list(threads.map(lambda source: readers[source.format].kinds(source), sources))
        found = list(threads.map(ranges_of, sources))
    carried = schema(kinds, request.carried)
    ranges = [(source, part) for source, parts in zip(sources, found) for part in parts]
    fragments = tuple(
        Fragment(_id(index, group), *group[0], carried, tuple(group[1:]))
        for index, group in enumerate(_packed(ranges, target))
    )
    return Plan(identity(facts, fragments), facts, tuple(sources), fragments, ignored, carried=carried)


def identity(facts: Mapping[str, Any], fragments: Sequence[Fragment]) -> str:
    """The run's id: the digest of everything that decides a byte of the output."""
    content: dict[str, Any] = {"facts": facts, "fragments": sorted(fragment.id for fragment in fragments)}
    carried = sorted({fragment.carried for fragment in fragments if fragment.carried})
    return _digest(content | {"carried": carried} if carried else content)


def asked(bundle: Bundle, sources: Sequence[SourceFile]) -> str:
    """The digest of what is scored, and by what: the same on every machine that sees it, whatever its versions."""
    return _digest({"bundle": bundle.digest, "sources": [[source.url, source.identity] for source in sources]})


def difference(kept: Plan, sources: Sequence[SourceFile], facts: Mapping[str, Any]) -> str | None:
    """What another run than the kept one this is, or None where it is that one."""
    for name in dict.fromkeys((*facts, *kept.facts)):
        there, here = kept.facts.get(name), facts.get(name)
        if there != here:
            return f"{name.replace('_', ' ')}: {_shortened(there)} there, {_shortened(here)} here"
    if kept.sources == tuple(sources):
        return None
    before = {source.url: source for source in kept.sources}
    now = {source.url: source for source in sources}
    for url in sorted({*before, *now}):
        if before.get(url) != now.get(url):
            word = "is not among its files" if url not in before else "is missing" if url not in now else "has changed"
            return f"{url} {word}"
    return None


def _shortened(value: Any) -> str:
    text = msgspec.json.encode(value).decode() if not isinstance(value, str) else value
    return text if len(text) <= 100 else f"{text[:100]}…"


def _packed(ranges: Sequence[tuple[SourceFile, Range]], target: int) -> Iterator[list[tuple[SourceFile, Range]]]:
    """Fragments of ranges that follow each other: whole files together up to the target where there are many."""
    if len(ranges) <= SHARES:
        yield from ([each] for each in ranges)
        return
    counts = Counter(source.url for source, _ in ranges)
    group: list[tuple[SourceFile, Range]] = []
    size = rows = 0
    for source, part in ranges:
        whole = counts[source.url] == 1
        if group and (not whole or size + source.size > target or rows + (part.rows or 0) > PACKED_ROWS):
            yield group
            group, size, rows = [], 0, 0
        group.append((source, part))
        size += source.size
        rows += part.rows or 0
        if not whole:
            yield group
            group, size, rows = [], 0, 0
    if group:
        yield group


def _sum(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count for count in counts if count is not None)


def _id(index: int, group: Sequence[tuple[SourceFile, Range]]) -> str:
    # In front, so that names of output files sort as the input does.
    parts = [[source.url, source.identity, part.start, part.end] for source, part in group]
    return f"{index:05d}-{_digest(parts[0] if len(parts) == 1 else parts)[:16]}"


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"
