"""A file of rows on the page: read without losing a digit, answered in batches, refused line by line, and saved."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from fivefold.batch.formats import scan
from fivefold.guard import keys
from tests.browser.conftest import Open
from tests.browser.test_access import CONTRASTS, PHONE
from tests.support.browser_server import Served, served
from tests.support.opened import Opened

HEADER = [
    "weight",
    "number",
    "service",
    "postcode",
    "zone",
    "fragile",
    "temperature",
    "note",
    "corners",
    "stamp",
    "extra",
]
GOOD = ["10", "9007199254740993", "express", "01234", "2", "true", "", "new", "[[0,0,0],[30.5,20,10]]", "AP8Q", "x"]

CUT = """async ({ base64, quotes, size }) => {
  const { records } = await import("./page/records.js");
  const blob = new Blob([Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))]);
  const out = [];
  for await (const { line, bytes, broken, read } of records(blob, quotes, size)) {
    out.push([line, String.fromCharCode(...bytes), broken !== "", read]);
  }
  return out;
}"""


def row(**changed: str) -> list[str]:
    return [changed.get(name, cell) for name, cell in zip(HEADER, GOOD, strict=True)]


def table(rows: list[list[str]], end: str = "\r\n") -> bytes:
    """CSV: empty cells bare, a cell of `""` a quoted empty one."""
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


class Card:
    """The page's card for files."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.region = page.get_by_role("region", name="A file of rows", exact=True)
        self.state = page.locator("#file-state")
        self.trouble = page.locator("#file-trouble")
        self.cancel = self.region.get_by_role("button", name="Cancel")

    def choose(self, name: str, data: bytes) -> None:
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        self.region.get_by_label("A file of rows").set_input_files([file])  # type: ignore[list-item]

    def ended(self, words: str = "All rows have been sent.") -> None:
        expect(self.state).to_contain_text(words, timeout=30_000)

    def rows(self, title: str) -> Locator:
        return self.region.get_by_role("region", name=title).locator("tbody tr")

    def saved(self, kind: str) -> str:
        with self.page.expect_download() as download:
            self.region.get_by_role("button", name=f"Download as {kind}").click()
        return Path(download.value.path()).read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.saved("JSON lines").splitlines()]


def test_cells_are_read_as_they_stand(visit: Open) -> None:
    """A byte order mark, CRLF, quotes, lines in a cell, empty lines; nulls, defaults, and integers beyond 2^53."""
    opened = visit("parcels")
    card = Card(opened.page)
    rows = [
        HEADER,
        row(note="EMPTY"),
        row(number="9223372036854775807", note='two\r\nlines, "quoted"', temperature="-0.10000000000000001"),
        row(number="9007199254740993.0", weight="0.7e1"),
    ]
    card.choose("rows.csv", b"\xef\xbb\xbf" + table(rows).replace(b"EMPTY", b'""') + b"\r\n")
    card.ended()

    bodies = [request.post_data or "" for request in opened.requests if request.method == "POST"]
    assert '"tracking":9223372036854775807' in bodies[-1]
    assert '"temperature":-0.10000000000000001' in bodies[-1]
    assert '"tracking":9007199254740993.0' in bodies[-1]
    sent = json.loads(bodies[-1])["instances"]
    assert [each["note"] for each in sent] == ["", 'two\r\nlines, "quoted"', "new"]
    assert [each["temperature"] for each in sent] == [None, -0.1, None]
    expect(card.state).to_have_text(
        "rows.csv: 3 rows, 3 answered, 0 refused. All rows have been sent. "
        "Columns that the contract does not have are left out: extra."
    )
    lines = card.lines()
    assert [each["line"] for each in lines] == [2, 3, 5]
    assert [each["prediction"]["tracking"] for each in lines] == [2**53 + 1, 2**63 - 1, 2**53 + 1]
    expect(card.rows("Answers").nth(1)).to_contain_text("9223372036854775807")


def test_each_refused_row_is_told_with_its_line(visit: Open) -> None:
    """What the server refuses, and what is no record at all; the rows around them are answered."""
    card = Card(visit("parcels").page)
    data = (
        table([HEADER, row(), row(weight="99", postcode="x"), row()[:-1]])
        + b"1,\xff\n"
        + table([row(weight="07"), row(fragile="TRUE"), row(corners="[[1,2,3],[4,5,6]"), row(zone="")])
        + b'5,"never closed\n'
        + table([row(service="express")])
    )
    card.choose("rows.csv", data)
    card.ended()

    assert [(each["line"], each.get("code"), each.get("path")) for each in card.lines()] == [
        (2, None, None),
        (3, "out_of_range", "inputs.weight"),
        (4, "malformed", ""),
        (5, "malformed", ""),
        (6, "wrong_type", "inputs.weight"),
        (7, "wrong_type", "inputs.fragile"),
        (8, "wrong_type", "inputs.corners"),
        (9, "null_not_allowed", "inputs.zone"),
        (10, "malformed", ""),
        (11, None, None),
    ]
    refused = card.lines()[1]
    assert refused["error"] == "expected a number of at most 70 kg, got 99.0"
    assert [each["code"] for each in refused["details"]] == ["out_of_range", "pattern_mismatch"]
    expect(card.rows("Refused rows")).to_have_count(8)
    expect(card.rows("Refused rows").nth(1)).to_have_text("4malformedexpected 11 cells, got 10")
    expect(card.rows("Answers")).to_have_count(2)


@pytest.mark.full
def test_json_lines_go_to_the_server_as_they_stand(visit: Open) -> None:
    """By the letter; what is no JSON, or no record, is refused with its line."""
    opened = visit("parcels")
    card = Card(opened.page)
    good = json.dumps(dict(zip(HEADER[:-1], [10, 2**53 + 1, "express", "01234", 2, True, None, "", [0] * 6, "AP8Q"])))
    odd = good.replace("10,", "1.00e1 ,")
    card.choose("rows.jsonl", "\n".join([good, "", odd, good[:-1], "[1]", "7", good.replace("10", "NaN")]).encode())
    card.ended()

    opened.complaints[:] = [line for line in opened.complaints if "status of 400" not in line]
    assert odd in (next(each for each in reversed(opened.requests) if odd in (each.post_data or "")).post_data or "")
    assert [(each["line"], each.get("code"), each.get("path")) for each in card.lines()] == [
        (1, None, None),
        (3, None, None),
        (4, "malformed", ""),
        (5, "malformed", "inputs"),
        (6, "malformed", "inputs"),
        (7, "malformed", ""),
    ]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("rows.xlsx", b"PK", "whose name ends in .csv, .jsonl or .ndjson"),
        ("rows.csv", b"", "expected a header, got an empty file"),
        ("rows.csv", b"weight;number\n1;2\n", 'expected a column "weight", got none of that name'),
        ("rows.csv", b"number,tracking\n1,2\n", 'expected a column "weight"'),
        ("rows.csv", b"weight,number,tracking\n1,2,3\n", "number and tracking are one field"),
    ],
)
def test_a_file_that_no_row_can_be_read_of_is_refused(visit: Open, name: str, data: bytes, told: str) -> None:
    """Nothing is sent."""
    opened = visit("parcels")
    card = Card(opened.page)
    card.choose(name, data)

    expect(card.trouble).to_contain_text(told)
    assert len(opened.sent()) == 1


def test_answers_as_csv_are_exact(visit: Open) -> None:
    """Each output in a column of its own, every digit as it came; a refused row has its code, path and words."""
    card = Card(visit("parcels").page)
    card.choose("rows.csv", table([HEADER, row(weight="0.1"), row(weight="99")]))
    card.ended()
    text = card.saved("CSV")
    answer = card.lines()[0]["prediction"]

    names, good, bad = csv.reader(io.StringIO(text))
    assert names == ["line", *answer, "code", "path", "error"]
    read = dict(zip(names, good, strict=True))
    assert read["tracking"] == "9007199254740993"
    assert read["outcome"] == answer["outcome"]
    assert json.loads(read["corners"]) == answer["corners"]
    assert float(read["hours"]) == answer["hours"]
    assert bad[0] == "3"
    assert bad[-3:] == ["out_of_range", "inputs.weight", "expected a number of at most 70 kg, got 99.0"]


@pytest.mark.full
def test_a_dropped_file_is_sent_in_batches_and_can_be_cancelled(visit: Open) -> None:
    """Its progress is told; what came by then can be saved, and a next file is taken."""
    opened = visit("parcels")
    card = Card(opened.page)
    held: list[Route] = []
    opened.page.route(
        "**/*:predict", lambda route: held.append(route) if held else (held.append(route), route.continue_())
    )
    opened.page.evaluate(
        """text => {
          const files = new DataTransfer();
          files.items.add(new File([text], "many.csv"));
          for (const type of ["dragover", "drop"]) {
            const told = { dataTransfer: files, bubbles: true, cancelable: true };
            document.querySelector("h1").dispatchEvent(new DragEvent(type, told));
          }
        }""",
        table([HEADER, *[row()] * 1200]).decode(),
    )
    expect(card.state).to_contain_text("many.csv: 500 rows, 500 answered, 0 refused.")
    share = float(card.region.get_by_role("progressbar").evaluate("node => node.value"))
    assert share == pytest.approx(500 / 1200, abs=0.02)

    card.cancel.click()
    card.ended("Cancelled")
    assert len(card.lines()) == 500
    opened.page.unroute_all(behavior="ignoreErrors")
    card.choose("few.csv", table([HEADER, row()]))
    card.ended()
    expect(card.state).to_contain_text("few.csv: 1 row, 1 answered")


@pytest.mark.full
def test_a_server_that_is_gone_refuses_no_row(visit: Open) -> None:
    """Sending stops, says why, and goes on when it is told to."""
    opened = visit("parcels")
    card = Card(opened.page)
    body = json.dumps({"error": "there is no such model", "code": "model_not_found"})
    opened.page.route("**/*:predict", lambda route: route.fulfill(status=404, body=body))
    card.choose("rows.csv", table([HEADER, row(), row(weight="99")]))
    expect(card.trouble).to_contain_text("there is no such model")
    expect(card.state).to_contain_text("0 rows")
    opened.page.unroute_all(behavior="ignoreErrors")
    card.trouble.get_by_role("button", name="Go on").click()
    card.ended()

    expect(card.state).to_contain_text("2 rows, 1 answered, 1 refused")
    expect(card.trouble).to_be_hidden()
    opened.complaints[:] = [line for line in opened.complaints if "status of 404" not in line]


@pytest.mark.full
def test_answers_of_another_bundle_are_not_mixed_in(visit: Open) -> None:
    """A model that is replaced meanwhile ends the run; what its forerunner has answered is there."""
    opened = visit("parcels")
    card = Card(opened.page)
    digest = str(opened.page.evaluate("fetch('v1/models/parcels/versions/1').then((it) => it.json())")["bundle"])
    asked: list[Route] = []

    def replaced(route: Route) -> None:
        asked.append(route)
        answer = route.fetch()
        text = answer.text().replace(digest, digest[::-1]) if len(asked) > 1 else answer.text()
        route.fulfill(response=answer, body=text)

    opened.page.route("**/*:predict", replaced)
    card.choose("rows.csv", table([HEADER, *[row()] * 600]))
    expect(card.trouble).to_contain_text("another bundle under this version")
    card.ended("What follows has not been sent.")

    assert len(card.lines()) == 500


@pytest.mark.full
def test_a_file_of_bad_rows_is_told_row_by_row(visit: Open) -> None:
    """More than one answer can name: each row has the refusal that it has alone."""
    card = Card(visit("parcels").page)
    weights = [str(each % 80) for each in range(300)]
    card.choose("rows.csv", table([HEADER, *(row(weight=each) for each in weights)]))
    card.ended()

    lines = card.lines()
    assert [each["line"] for each in lines] == list(range(2, 302))
    assert ["code" in each for each in lines] == [float(each) > 70 for each in weights]


@pytest.mark.full
def test_with_a_key(server: Served, tmp_path: Path, browser: Browser) -> None:
    """The rows are asked for with the key of the page."""
    key, entry = keys.make("asks")
    keys.add(tmp_path / "keys.json", entry)
    with served(server.bundles, keys=str(tmp_path / "keys.json")) as out:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{out.url}#/parcels/1")
        page.get_by_role("textbox", name="API key").fill(key)
        page.get_by_role("button", name="Use this key").click()
        Opened(page).settled()
        card = Card(page)
        card.choose("rows.csv", table([HEADER, row()]))
        card.ended()
        expect(card.state).to_contain_text("1 answered")
        context.close()


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_tables_fit_a_phone_and_stand_out(visit: Open, scheme: Any) -> None:
    """Nothing is wider than the screen, and every text is readable."""
    page = visit("parcels", color_scheme=scheme, **PHONE).page
    card = Card(page)
    card.choose("a-long-name-" * 8 + ".csv", table([HEADER, row(), row(weight="99")]))
    card.ended()

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("quotes", [True, False])
def test_records_are_cut_as_in_batch_runs(visit: Open, quotes: bool) -> None:
    """Whatever the bytes, and wherever a block ends."""
    page = visit("parcels").page
    generator = random.Random(7)
    for number in range(60):
        data = "".join(
            generator.choices(['"', '""', "a", ",", "\n", "\r\n", "\r", "b,c", '"x"'], k=generator.randrange(1, 40))
        ).encode()
        given = {"base64": base64.b64encode(data).decode(), "quotes": quotes, "size": 1 + number % 7}
        expected, lines = [], 1
        for block in scan.blocks(io.BytesIO(data), quotes=quotes):
            for at in range(len(block.starts)):
                raw = block.data[block.starts[at] : block.ends[at]]
                line = raw[:-1] if raw.endswith(b"\n") else raw
                line = line[:-1] if line.endswith(b"\r") else line
                end = block.offset + int(block.ends[at])
                expected.append([lines + int(block.lines[at]), line.decode(), bool(block.broken[at]), end])
            lines += block.newlines

        assert page.evaluate(CUT, given) == expected, data


@pytest.mark.full
def test_what_is_too_long_breaks_its_own_line(visit: Open) -> None:
    """A line beyond 16 MiB, and a quote that does not close within 1 MiB; what follows is read on."""
    page = visit("parcels").page
    told = page.evaluate(
        """async () => {
          const { records } = await import("./page/records.js");
          const cut = async (parts, quotes) => {
            const out = [];
            for await (const { line, bytes, broken } of records(new Blob(parts), quotes)) {
              out.push([line, bytes.length, broken]);
            }
            return out.length < 5 ? out : [...out.slice(0, 3), out.length, out.at(-1)];
          };
          const lines = "a,b\\n".repeat(300_000);
          return [
            await cut(["x\\n", "y".repeat(17 * 2 ** 20), "\\nz\\n"], false),
            await cut(["x\\n", "y".repeat(15 * 2 ** 20), "\\nz"], false),
            await cut(['"open\\n', lines, "z"], true),
            await cut(['"', "y".repeat(2 * 2 ** 20), '"\\nz'], true),
          ];
        }"""
    )

    (first, (number, _, why), last), short, opened, quoted = told
    assert (first, number, last) == ([1, 1, ""], 2, [3, 1, ""])
    assert "at most 16777216 bytes" in why
    assert short == [[1, 1, ""], [2, 15 * 2**20, ""], [3, 1, ""]]
    unclosed = "expected a line of CSV, got a quote that is not closed where its cell ends"
    assert opened == [[1, 5, unclosed], [2, 3, ""], [3, 3, ""], 300_002, [300_002, 1, ""]]
    assert quoted == [[1, 2 * 2**20 + 2, ""], [2, 1, ""]]
