/**
 * The exact JSON reader: numbers keep what binary64 would lose, objects keep their order, and errors say where.
 *
 * `JSON.parse` rounds integers beyond 2^53 and takes `3.0` for `3`. A body that is not JSON is `malformed`, one nested
 * too deeply or with too much in it `too_large`, before anything of it is built.
 */

import { ContractError } from "./errors.js";
import { type Integer, Literal, integer } from "./numbers.js";

/** A parsed value. An integral `number` and a `bigint` are integers; other floats are `number` or `Literal`. */
export type Json = null | boolean | Integer | Literal | string | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** Deeper than any legal value: a field has at most eight dimensions. */
export const MAX_DEPTH = 64;

const FEW_CONTAINERS = 65_536;
const BYTES_PER_CONTAINER = 16;

export interface Limits {
  /** Of arrays two levels deep, which are a request's rows. */
  readonly maxRows?: number | undefined;
  readonly maxDepth?: number | undefined;
}

/** Parse JSON text (RFC 8259, UTF-8, no BOM); throws `ContractError` `malformed` or `too_large`.
 *
 * `perRow` is how many arrays and objects each row may well hold.
 */
export function loads(body: string | Uint8Array, limits: Limits = {}, perRow = 0): Json {
  const raw = typeof body === "string" ? new TextEncoder().encode(body) : body;
  refuseTooMuch(raw, limits, perRow);
  if (raw[0] === 0xef && raw[1] === 0xbb && raw[2] === 0xbf) {
    throw new ContractError("malformed", "expected JSON, got a byte order mark first");
  }
  const marked = (raw[0] === 0xff && raw[1] === 0xfe) || (raw[0] === 0xfe && raw[1] === 0xff);
  if (marked || raw.subarray(0, 4).includes(0)) {
    throw new ContractError("malformed", "expected JSON in UTF-8, got UTF-16 or UTF-32");
  }
  const text = typeof body === "string" ? body : decoded(raw);
  if (BLANKS.test(text)) throw new ContractError("malformed", "expected JSON, got an empty body");
  return parse(text);
}

/** Parse JSON text; throws `ContractError` `malformed` with the line and the column. */
export function parse(text: string, exact = true): Json {
  try {
    return new Parser(text, exact).document();
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    throw new ContractError("malformed", `not JSON: ${error.message}`);
  }
}

function decoded(raw: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
  } catch {
    throw new ContractError("malformed", `expected UTF-8, got another byte at offset ${firstOther(raw)}`);
  }
}

/** Where the first sequence that is no UTF-8 begins (RFC 3629, section 4). */
function firstOther(raw: Uint8Array): number {
  for (let at = 0; at < raw.length; ) {
    const lead = raw[at]!;
    const size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (!size) return at;
    for (let next = 1; next < size; next++) {
      const byte = raw[at + next] ?? 0;
      const low = next > 1 ? 0x80 : lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
      const high = next > 1 ? 0xbf : lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) return at;
    }
    at += size;
  }
  return raw.length;
}

/** Count without recursion: a hostile body must not reach the parser's stack, or its memory. */
function refuseTooMuch(raw: Uint8Array, limits: Limits, perRow: number): void {
  let level = 0;
  let deepest = 0;
  let containers = 0;
  let longest = 0;
  let run = 0;
  let inString = false;
  let inArray = false;
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at]!;
    if (byte === 0x5c) {
      const next = raw[at + 1];
      if (next === 0x5c || next === 0x22) at++;
    } else if (byte === 0x22) {
      inString = !inString;
    } else if (inString) {
      continue;
    } else if (byte === 0x5b || byte === 0x7b) {
      containers++;
      level++;
      if (level > deepest) deepest = level;
      if (level === 2) {
        if (inArray && run > longest) longest = run;
        run = 0;
        inArray = byte === 0x5b;
      }
    } else if (byte === 0x5d || byte === 0x7d) {
      level--;
    } else if (byte === 0x2c && level === 2) {
      run++;
    }
  }
  longest = Math.max(longest, inArray ? run : 0) + 1;
  const maxDepth = limits.maxDepth ?? MAX_DEPTH;
  if (deepest > maxDepth) {
    throw new ContractError("too_large", `expected JSON nested at most ${maxDepth} deep, got ${deepest}`);
  }
  if (limits.maxRows !== undefined) refuseRows(longest > limits.maxRows ? longest : 0, limits.maxRows);
  const most = FEW_CONTAINERS + Math.max(Math.floor(raw.length / BYTES_PER_CONTAINER), perRow * longest);
  if (containers > most) {
    const message = `expected at most ${most} arrays and objects in ${raw.length} bytes, got ${containers}`;
    throw new ContractError("too_large", message, { help: "send fewer rows at once" });
  }
}

/** Throw `too_large` for more rows than one request may carry. */
export function refuseRows(rows: number, maxRows: number | undefined): void {
  if (maxRows !== undefined && rows > maxRows) {
    throw new ContractError("too_large", `expected at most ${maxRows} rows, got ${rows}`, { path: "inputs" });
  }
}

class NotJson extends Error {}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const BLANK = /[ \t\n\r]*/y;
/** Nothing but what counts as white space somewhere. */
const BLANKS = /^[\x09-\x0d\x1c-\x20\x85\p{Z}]*$/u;
const PLAIN = /[^"\\\x00-\x1f]*/y;
const HEX = /[0-9A-Fa-f]{4}/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Parser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly exact: boolean,
  ) {}

  document(): Json {
    this.blank();
    const value = this.value();
    this.blank();
    if (this.at < this.text.length) throw this.not("Extra data");
    return value;
  }

  private not(message: string, at = this.at): NotJson {
    const before = this.text.slice(0, at);
    const line = before.split("\n").length;
    const column = Array.from(before.slice(before.lastIndexOf("\n") + 1)).length + 1;
    return new NotJson(`${message} at line ${line}, column ${column}`);
  }

  private blank(): void {
    const code = this.text.charCodeAt(this.at);
    if (code > 0x20 || Number.isNaN(code)) return;
    BLANK.lastIndex = this.at;
    BLANK.test(this.text);
    this.at = BLANK.lastIndex;
  }

  private value(): Json {
    const character = this.text[this.at];
    switch (character) {
      case '"':
        return this.string();
      case "[":
        return this.array();
      case "{":
        return this.object();
    }
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    for (const word of ["NaN", "-Infinity", "Infinity"]) {
      if (this.text.startsWith(word, this.at)) throw new NotJson(`${word} is not JSON`);
    }
    return this.number();
  }

  private number(): Json {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (!found) throw this.not("Expecting value");
    this.at = NUMBER.lastIndex;
    const token = found[0];
    const value = Number(token);
    if (found[1] === undefined && found[2] === undefined) {
      if (Number.isSafeInteger(value)) return value === 0 ? 0 : value;
      // Past 400 characters the value is beyond binary64 and beyond every dtype.
      return token.length < 400 ? integer(BigInt(token)) : new Literal(value, token);
    }
    if (!Number.isInteger(value) && Number.isFinite(value)) return value;
    return new Literal(value, this.exact && Math.abs(value) >= 2 ** 53 ? token : null);
  }

  private array(): Json[] {
    const out: Json[] = [];
    this.at++;
    this.blank();
    if (this.text[this.at] === "]") {
      this.at++;
      return out;
    }
    for (;;) {
      out.push(this.value());
      this.blank();
      const character = this.text[this.at];
      if (character === "]") {
        this.at++;
        return out;
      }
      if (character !== ",") throw this.not("Expecting ',' delimiter");
      this.at++;
      this.blank();
    }
  }

  private object(): JsonObject {
    // A Map: names such as `__proto__` are names like any other, and those of digits keep their place.
    const out: JsonObject = new Map();
    this.at++;
    this.blank();
    if (this.text[this.at] === "}") {
      this.at++;
      return out;
    }
    for (;;) {
      if (this.text[this.at] !== '"') throw this.not("Expecting property name enclosed in double quotes");
      const name = this.string();
      this.blank();
      if (this.text[this.at] !== ":") throw this.not("Expecting ':' delimiter");
      this.at++;
      this.blank();
      out.set(name, this.value());
      this.blank();
      const character = this.text[this.at];
      if (character === "}") {
        this.at++;
        return out;
      }
      if (character !== ",") throw this.not("Expecting ',' delimiter");
      this.at++;
      this.blank();
    }
  }

  private string(): string {
    const begin = this.at++;
    let out = "";
    for (;;) {
      PLAIN.lastIndex = this.at;
      PLAIN.test(this.text);
      out += this.text.slice(this.at, PLAIN.lastIndex);
      this.at = PLAIN.lastIndex;
      const character = this.text[this.at];
      if (character === '"') {
        this.at++;
        return out;
      }
      if (character === undefined) throw this.not("Unterminated string starting at", begin);
      if (character !== "\\") throw this.not("Invalid control character at");
      const kind = this.text[this.at + 1];
      if (kind === undefined) throw this.not("Unterminated string starting at", begin);
      if (kind === "u") {
        HEX.lastIndex = this.at + 2;
        // As the server has it: where the text ends behind the digits, it is they that are too few.
        if (!HEX.test(this.text) || this.at + 6 >= this.text.length) throw this.not("Invalid \\uXXXX escape", this.at + 1);
        out += String.fromCharCode(parseInt(this.text.slice(this.at + 2, this.at + 6), 16));
        this.at += 6;
      } else {
        const unit = ESCAPES[kind];
        if (unit === undefined) throw this.not("Invalid \\escape");
        out += unit;
        this.at += 2;
      }
    }
  }
}

const WORDS: readonly (readonly [string, Json])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
];
