// A file's bytes to records, and a record to the JSON text of one instance. Files are read a block at a time.
//
// The rules are those of batch runs: UTF-8, empty lines are no records; in CSV a header, commas, quotes as in RFC 4180, an
// empty bare cell is null and "" the empty text. A number goes to the server by the digits that stand in the file. What
// spells no value of its field goes there as text, and the server says what is wrong with it.

import { kind, optional } from "./contract.js";

const BLOCK = 4 * 1024 * 1024;

/** Bytes of a line; the rest of a longer one is passed over. */
export const LONGEST = 16 * 1024 * 1024;

/** Bytes of a record of CSV that goes on over the end of its line. */
const LONGEST_QUOTED = 1024 * 1024;

const [NEWLINE, RETURN, QUOTE, COMMA] = [10, 13, 34, 44];
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const CELL = /(?:"([^"]*(?:""[^"]*)*)"|([^",\n][^,\n]*|))(,|$)/y;
const MARK = "\ufeff";
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What is wrong with a record, or with a file: a code and words, as in the server's errors. */
export class Malformed extends Error {
  constructor(message, { code = "malformed", path = "", help = "" } = {}) {
    super(message);
    Object.assign(this, { code, path, help });
  }
}

/** Where the record that begins at `at` ends in `data`: behind its line's end. `{end, broken}`, or null for more bytes. */
function boundary(data, at, final, quotes) {
  const newline = data.indexOf(NEWLINE, at);
  const line = newline < 0 ? (final ? data.length : -1) : newline + 1;
  if (!quotes || line < 0 || !data.subarray(at, line).includes(QUOTE)) return line < 0 ? null : { end: line, broken: false };
  const last = Math.max(line, at + LONGEST_QUOTED);
  for (let place = at; ; ) {
    if (data[place] === QUOTE) {
      let close = data.indexOf(QUOTE, place + 1);
      while (close >= 0 && close < last && data[close + 1] === QUOTE) close = data.indexOf(QUOTE, close + 2);
      // The quote, or what stands behind it, may come with the next block.
      if (!final && data.length <= last && (close < 0 || close + 2 >= data.length)) return null;
      if (close < 0 || close >= last) return { end: line, broken: true };
      place = close + 1;
      if (data[place] === RETURN && (place + 1 === data.length || data[place + 1] === NEWLINE)) place += 1;
    } else {
      while (place < data.length && data[place] !== COMMA && data[place] !== NEWLINE) place += 1;
    }
    if (place >= data.length) return final ? { end: data.length, broken: false } : null;
    if (data[place] === NEWLINE) return { end: place + 1, broken: false };
    if (data[place] !== COMMA) return { end: line, broken: true };
    place += 1;
  }
}

function count(data) {
  let lines = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

/** The records of a blob: `{line, bytes, broken, read}`, the number of the line from 1 on, the bytes without the line's end,
 * why they are no record (or ""), and how many bytes of the blob are read by then. With `quotes` a record may have lines.
 * `size` bytes are read at a time. */
export async function* records(blob, quotes, size = BLOCK) {
  let rest = new Uint8Array();
  let line = 1;
  let passing = false; // over the rest of a line that is too long
  for (let offset = 0; offset < blob.size || rest.length; ) {
    const block = new Uint8Array(await blob.slice(offset, offset + size).arrayBuffer());
    offset += block.length;
    const final = offset >= blob.size;
    let data = block;
    if (rest.length) {
      data = new Uint8Array(rest.length + block.length);
      data.set(rest);
      data.set(block, rest.length);
    }
    let at = 0;
    if (passing) {
      const newline = data.indexOf(NEWLINE);
      at = newline < 0 ? data.length : newline + 1;
      passing = newline < 0;
      if (!passing) line += 1;
    }
    while (at < data.length) {
      const found = boundary(data, at, final, quotes);
      const end = found?.end ?? data.length;
      const tooLong = end - at > LONGEST;
      if (!found && !tooLong) break;
      const whole = data.subarray(at, end);
      const inside = whole.at(-1) !== NEWLINE ? whole.length : whole.length - 1;
      const bytes = whole.subarray(0, inside && whole[inside - 1] === RETURN ? inside - 1 : inside);
      const broken = tooLong ? `expected a line of at most ${LONGEST} bytes, got a longer one` : found.broken ? "expected a line of CSV, got a quote that is not closed where its cell ends" : "";
      if (bytes.length) yield { line, bytes, broken, read: offset - data.length + end };
      line += count(whole);
      passing = !found;
      at = end;
    }
    rest = data.subarray(at);
    if (final && !rest.length) return;
  }
}

function text(bytes) {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new Malformed("expected UTF-8, got other bytes");
  }
}

/** A record's cells: null for an empty one without quotes. */
function cells(line) {
  const out = [];
  CELL.lastIndex = 0;
  for (;;) {
    const match = CELL.exec(line);
    if (!match) throw new Malformed("expected a line of CSV");
    const [, quoted, bare, more] = match;
    out.push(quoted === undefined ? bare || null : quoted.replaceAll('""', '"'));
    if (!more) return out;
  }
}

/** The JSON value that a cell spells, as text; what spells none stays text. */
function literal(field, cell) {
  if (cell === null) return "null";
  if (field.shape?.length) {
    try {
      JSON.parse(cell);
      return cell;
    } catch {
      return JSON.stringify(cell);
    }
  }
  const type = kind(field);
  const bare = type === "int" || type === "float" ? NUMBER.test(cell) : type === "bool" && (cell === "true" || cell === "false");
  return bare ? cell : JSON.stringify(cell);
}

/** Reads rows under a header: `{ignored, read}`, the columns that no field answers to, and cells to an instance's JSON. */
function underHeader(contract, header) {
  const columns = [];
  for (const field of contract.inputs) {
    const names = [field.name, ...(field.aliases ?? [])];
    const places = header.flatMap((name, at) => (names.includes(name) ? [at] : []));
    const path = `inputs.${field.name}`;
    if (places.length > 1) throw new Malformed(`${places.map((at) => header[at]).join(" and ")} are one field`, { code: "duplicate_field", path });
    if (places.length) columns.push({ field, at: places[0], key: JSON.stringify(field.name) });
    else if (!optional(field)) {
      const help = header.length === 1 ? "the first line is the header, with commas between the names" : "";
      throw new Malformed(`expected a column ${JSON.stringify(field.name)}, got none of that name`, { code: "missing_field", path, help });
    }
  }
  const known = new Set(columns.map(({ at }) => at));
  const read = (row) => {
    if (row.length !== header.length) throw new Malformed(`expected ${header.length} cells, got ${row.length}`);
    return `{${columns.map(({ field, at, key }) => `${key}:${literal(field, row[at])}`).join(",")}}`;
  };
  return { ignored: header.filter((_, at) => !known.has(at)).map((name) => name ?? ""), read };
}

function json(line) {
  try {
    JSON.parse(line);
  } catch {
    throw new Malformed("expected a line of JSON");
  }
  return line;
}

/** What a file is by its name: `csv` or `jsonl`. */
export function format(name) {
  const [, suffix = ""] = /\.([^.]+)$/.exec(name.toLowerCase()) ?? [];
  if (suffix === "csv") return "csv";
  if (suffix === "jsonl" || suffix === "ndjson") return "jsonl";
  const help = ["gz", "bz2", "zst", "parquet"].includes(suffix) ? "fivefold score reads it" : "name it so if that is what it holds";
  throw new Malformed("expected a file whose name ends in .csv, .jsonl or .ndjson", { code: "unsupported_format", help });
}

/** The instances of a file: `{line, text, read}`, the JSON text of one, or `{line, refused, read}` with what is wrong with it.
 *
 * `ignoring` is told the columns that no field answers to. Throws `Malformed` for a header that no row can be read under.
 */
export async function* instances(blob, format, contract, ignoring) {
  let rows = null;
  let first = true;
  for await (const { line, bytes, broken, read } of records(blob, format === "csv")) {
    try {
      if (broken) throw new Malformed(broken);
      let said = text(bytes);
      if (first && said.startsWith(MARK)) said = said.slice(1);
      if (said.startsWith(MARK)) throw new Malformed("got a byte order mark first");
      if (format === "jsonl") yield { line, text: json(said), read };
      else if (rows) yield { line, text: rows.read(cells(said)), read };
      else {
        rows = underHeader(contract, cells(said));
        ignoring(rows.ignored);
      }
    } catch (error) {
      if (!(error instanceof Malformed) || (format === "csv" && !rows)) throw error;
      yield { line, refused: error, read };
    }
    first = false;
  }
  if (format === "csv" && !rows) throw new Malformed("expected a header, got an empty file");
}
