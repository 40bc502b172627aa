"""`fivefold predict`: ask a bundle without a server; the work is `fivefold.prediction`'s."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fivefold.commands.score import add_reading, settings_of
from fivefold.commands.words import USAGE, add, complain, print_json
from fivefold.core.errors import ContractError, FivefoldError, NotFound

if TYPE_CHECKING:
    from fivefold.batch.formats.chunk import RefusedRows
    from fivefold.batch.plan.settings import BatchSettings
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.prediction.predictor import Predictor

REFUSED, FAILED = 3, 1
"""Exit status where a row breaks the contract, and where the model fails on one."""

SHOWN = 20
"""Refused rows of a file that are shown one by one."""

_LONGEST_EXAMPLE = 400
"""Characters of a record that is shown as an example."""

_TABLES = ("csv", "jsonl", "parquet")


def _predict(arguments: argparse.Namespace) -> int | None:
    words = list(arguments.words)
    model = arguments.model or (words.pop(0) if words else None)
    if model is None or len(words) > 1:
        complain("expected a bundle and one input", "fivefold predict BUNDLE row.json")
        return USAGE
    if arguments.output and Path(arguments.output).suffix in (".csv", ".parquet"):
        complain("--output: predict writes lines of JSON", "fivefold score writes CSV and Parquet: --format")
        return USAGE
    found = settings_of(arguments, "fivefold predict --help")
    if found is None:
        return USAGE
    from fivefold.delivery.fetch import fetch

    settings, delivery = found
    bundle = fetch(model, delivery)
    try:
        with _input(words[0] if words else "-", arguments.format) as given:
            return _answered(bundle, given, settings, arguments)
    except _NoInput as err:
        raise NotFound("not_found", str(err), help=_example(bundle, settings, model)) from None


def _answered(bundle: Bundle, given: bytes | str, settings: BatchSettings, arguments: argparse.Namespace) -> int:
    from fivefold.prediction.predictor import Predictor

    if settings.columns and not isinstance(given, str):
        complain("--columns is for files of rows", "fivefold predict --help")
        return USAGE
    with Predictor(bundle, settings.contract) as predictor:
        if isinstance(given, bytes):
            return _question(predictor, given, arguments.output, arguments.json)
        with _output(arguments.output) as out:
            return _file(predictor, given, settings, out, arguments.json)


@contextlib.contextmanager
def _output(name: str | None) -> Iterator[IO[str]]:
    """Where the answers go; a file is there when all of them are in it, and one that stands there stays until then."""
    if name is None:
        yield sys.stdout
        return
    from fivefold.core import atomic

    place = Path(name)
    atomic.check_file(place)
    part = place.with_name(f".{place.name}.{os.urandom(6).hex()}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            yield file
        atomic.put_file(part, place)
    finally:
        part.unlink(missing_ok=True)


class _NoInput(Exception):
    """There is nothing to ask."""


@contextlib.contextmanager
def _input(data: str, format: str | None) -> Iterator[bytes | str]:
    """The input: a JSON text as bytes, or the name of a file of rows, which a text of rows is written to first."""
    inline = data.lstrip()[:1] in ("{", "[")
    if not inline and data != "-":
        if "://" not in data and not Path(data).exists():
            raise _NoInput(f"there is no file {data}")
        if format is None and not data.lower().endswith(".json"):
            yield data
            return
    if data == "-" and sys.stdin.isatty():
        raise _NoInput("nothing is asked: name a file, write JSON, or pipe it in")
    text = os.fsencode(data) if inline else sys.stdin.buffer.read() if data == "-" else Path(data).read_bytes()
    if format is None:
        from fivefold.prediction.question import is_lines

        format = "jsonl" if is_lines(text) else "json"
    if format == "json":
        if not text.strip():
            raise _NoInput("expected JSON, got nothing")
        yield text
        return
    with tempfile.TemporaryDirectory(prefix="fivefold-predict-") as directory:
        place = Path(directory) / f"input.{format}"
        place.write_bytes(text)
        yield str(place)


def _example(bundle: Bundle, settings: BatchSettings, model: str) -> str:
    """A command that is answered, of a golden row."""
    from fivefold.prediction.predictor import example, view_of

    record = json.dumps(example(bundle, view_of(bundle, settings.contract)), ensure_ascii=False)
    if record == "null" or len(record) > _LONGEST_EXAMPLE:
        return f"fivefold contract show {shlex.quote(model)} names the inputs"
    return f"fivefold predict {shlex.quote(model)} {shlex.quote(record)}"


def _question(predictor: Predictor, text: bytes, output: str | None, json: bool) -> int:
    """Answer a JSON text."""
    try:
        question = predictor.question(text)
        answer = predictor.predict(question)
    except ContractError as error:
        if json:
            _write([error.to_json()], sys.stderr)
            return REFUSED
        complain(f"{error} ({error.code})", error.help)
        for violation in error.details[1:]:
            print(f"       {violation.path}: {violation.message} ({violation.code})", file=sys.stderr)
        return REFUSED
    with _output(output) as out:
        if json:
            print_json(answer.body, out)
        else:
            _write([answer.body] if question.form == "body" or answer.rows is None else answer.rows, out)
    return 0


def _file(predictor: Predictor, name: str, settings: BatchSettings, out: IO[str], json: bool) -> int:
    """Answer the rows of a file, and say at the end how many were not."""
    from fivefold.prediction.file_rows import FileRows

    rows = FileRows(predictor, name, settings)
    if rows.ignored and not json:
        print(f"ignored: columns {', '.join(rows.ignored)}", file=sys.stderr)
    answered = refused = failed = 0
    broken = False
    for part in rows:
        _write(part.records, out)
        answered += len(part.records)
        for row in part.refused:
            if json:
                _write([_told(row)], sys.stderr)
            elif refused < SHOWN or row.broken:
                print(_line(row), file=sys.stderr)
            refused += row.rows
            broken |= row.broken
            failed += row.error.code == "model_failed"
    if not (refused or broken):
        return 0
    if not json:
        sys.stdout.flush()
        ends = ", and what is behind the place where the input breaks off is not read" if broken else ""
        complain(
            f"{refused:,} of {refused + answered:,} rows are refused{ends}",
            "fivefold score keeps each with its code, path and text in quarantine/" if refused > SHOWN else None,
        )
    return FAILED if failed else REFUSED


def _told(row: RefusedRows) -> dict[str, Any]:
    """A refused row for programs: where it stands, and REST's error."""
    where = {"row": row.row, "line": row.line, "rows": row.rows if row.rows != 1 else None}
    return {**{name: value for name, value in where.items() if value is not None}, **row.error.to_json()}


def _line(row: RefusedRows) -> str:
    where = f"row {row.row}" + (f", line {row.line}" if row.line is not None else "")
    error: FivefoldError = row.error
    return f"{where}: {error} ({error.code})" + (f"\n  help: {error.help}" if error.help else "")


def _write(values: Any, out: IO[str]) -> None:
    """A line of JSON for each value, as batch writes it."""
    import msgspec

    encoder = msgspec.json.Encoder(enc_hook=str)
    out.writelines(f"{encoder.encode(value).decode()}\n" for value in values)


def add_predict(commands: Any) -> None:
    predict = add(
        commands,
        "predict",
        _predict,
        "answer a record, a JSON body or a file of rows without a server",
        "fivefold predict bundles/demo row.json                        a record, an array of records, or a V1 body",
        """fivefold predict bundles/mine '{"age":41,"plan":"team"}'       JSON as it is""",
        "fivefold predict bundles/demo data.csv --columns id           a line of JSON for each row",
        "fivefold predict bundles/demo data.parquet --output answers.jsonl",
        "fivefold predict --model bundles/demo - --format csv          the standard input",
        "fivefold predict bundles/demo row.json --json                 the whole body that REST answers",
    )
    predict.description = (
        "Answer a record, an array of records, a V1 body or a file of rows without a server: the same answers, and\n"
        "the same errors with code and path, as over REST.\n\n"
        "A record is answered by an object, an array of records by a line each, a body by a body. Rows of a file are\n"
        "judged one by one; each line has its row's number (_row, from 0). What is refused is said on the standard\n"
        "error, and the exit status is 3."
    )
    predict.intermixed = True
    predict.add_argument(
        "words",
        metavar="BUNDLE INPUT",
        nargs="*",
        help="a bundle (a directory, a .tar, or a URL with its digest), and what is asked: .json, .jsonl, .csv, "
        ".parquet (text also compressed), JSON as it is, or - for the standard input (default)",
    )
    predict.add_argument("--model", metavar="REFERENCE", help="the bundle, if it is not the first word")
    predict.add_argument(
        "--format", choices=("json", *_TABLES), help="of an input whose name does not say it (default: JSON, or lines)"
    )
    predict.add_argument("--output", metavar="FILE", help="where the answers go (default: the standard output)")
    predict.add_argument(
        "--json", action="store_true", help="the whole answer as REST has it, with metadata; refusals as JSON"
    )
    add_reading(predict)
