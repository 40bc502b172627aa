// The outcomes of a file's rows, kept to be saved: as JSON lines, or as CSV, with every digit that the server sent.
//
// They are put together as blobs, which a browser may keep on its disk.

import { members } from "./exact-slices.js";
import { records } from "./records.js";

const PART = 4 * 1024 * 1024; // characters that are put together in one blob

const RESERVED = ["line", "code", "path", "error"];

/** An outcome as a line of JSON: `{"line", "prediction"}`, or `{"line", "error", "code", "path", "help"?, "details"?}`. */
export function jsonLine({ line, answer, refused }) {
  if (!refused) return `{"line":${line},"prediction":${answer}}\n`;
  const [{ code, path, error, help }] = refused;
  return `${JSON.stringify({ line, error, code, path, help, details: refused.length > 1 ? refused : undefined })}\n`;
}

const quoted = (text) => (text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** A JSON value's text as a cell: nothing for null, a string without its quotes, an array as JSON. */
function cell(text) {
  if (text === undefined || text === "null") return "";
  return quoted(text[0] === '"' ? JSON.parse(text) : text);
}

/** Whether answers fit into a table: an output by the name of one of its other columns would be mistaken for it. */
export const fitsCsv = (contract) => !contract.outputs.some(({ name }) => RESERVED.includes(name));

/** All outcomes of one file. */
export class Answers {
  #parts = [];
  #pending = [];
  #size = 0;

  add(outcomes) {
    for (const outcome of outcomes) {
      const text = jsonLine(outcome);
      this.#pending.push(text);
      this.#size += text.length;
    }
    if (this.#size > PART) this.#put();
  }

  #put() {
    this.#parts.push(new Blob(this.#pending));
    this.#pending = [];
    this.#size = 0;
  }

  /** Everything as JSON lines. */
  jsonLines() {
    this.#put();
    return new Blob(this.#parts, { type: "application/x-ndjson" });
  }

  /** Everything as CSV: `line`, the outputs, and `code`, `path`, `error` of what was refused first. */
  async csv(contract) {
    const names = contract.outputs.map(({ name }) => name);
    const parts = [];
    let pending = [["line", ...names, "code", "path", "error"].map(quoted).join(",")];
    const put = () => parts.push(new Blob([`${pending.join("\n")}\n`]));
    for await (const { bytes } of records(this.jsonLines(), false)) {
      const outcome = members(new TextDecoder().decode(bytes));
      const answer = outcome.has("prediction") ? members(outcome.get("prediction")) : new Map();
      const cells = [outcome.get("line"), ...names.map((name) => answer.get(name)), outcome.get("code"), outcome.get("path"), outcome.get("error")];
      pending.push(cells.map(cell).join(","));
      if (pending.length === 10_000) {
        put();
        pending = [];
      }
    }
    if (pending.length) put();
    return new Blob(parts, { type: "text/csv" });
  }
}
