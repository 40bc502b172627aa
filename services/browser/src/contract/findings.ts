/**
 * What is wrong with an input, in the contract's order. Only what may be among the first sixteen is put into words, so
 * that input which is wrong everywhere costs no more than input which is right. What is legal is left to `values`.
 */

import { ContractError, MAX_DETAILS, type Violation } from "./errors.js";
import type { Json } from "./exact-json.js";
import type { Field } from "./field.js";
import { Literal, shownFloat } from "./numbers.js";
import { codePoints, comparePoints, firstPoints, quoted } from "./text.js";

/** The class of each code in the order of violations. */
const RANK: Readonly<Record<string, number>> = {
  malformed: 0,
  too_large: 0,
  unknown_field: 1,
  duplicate_field: 2,
  missing_field: 3,
  null_not_allowed: 4,
  wrong_type: 5,
  not_utf8: 5,
  wrong_shape: 6,
  not_finite: 7,
  out_of_range: 8,
  not_in_enum: 8,
  too_short: 8,
  too_long: 8,
  pattern_mismatch: 8,
};

/** Characters of an unknown name that a path shows. */
const MAX_NAME = 128;

/** A message or a help line, or what makes it once it is known to be shown. */
type Sentence = string | (() => string | undefined);

interface Order {
  readonly rank: number;
  readonly index: number;
  readonly name: string;
  readonly row: number;
  readonly element: number;
}

export class Findings {
  private found: { order: Order; violation: Violation }[] = [];
  private last: Order | undefined;
  private wholes = 0;

  constructor(
    readonly fields: readonly Field[],
    readonly rows: number,
    readonly side = "inputs",
  ) {}

  get any(): boolean {
    return this.found.length > 0;
  }

  /** A violation of the whole input. */
  whole(code: string, path: string, message: Sentence, help?: Sentence): void {
    this.wholes++;
    this.add({ rank: RANK[code]!, index: -1, name: "", row: -1, element: this.wholes }, code, () => path, message, help);
  }

  /** A record that cannot be read at all. */
  row(row: number, message: Sentence): void {
    const order = { rank: 0, index: -1, name: "", row, element: 0 };
    this.add(order, "malformed", () => `${this.side}[${row}]`, message);
  }

  /** A name that is unknown, doubled or missing in `rows` (rising): reported once when that is every row. */
  named(code: string, index: number, name: string, rows: readonly number[] | "all", message: Sentence, help?: Sentence): void {
    const key = index >= this.fields.length ? name : "";
    const rank = RANK[code]!;
    const shown = `${this.side}.${shownName(name)}`;
    if (rows === "all" || rows.length === this.rows) {
      this.add({ rank, index, name: key, row: -1, element: 0 }, code, () => shown, message, help);
      return;
    }
    for (const row of rows.slice(0, MAX_DETAILS)) {
      this.add({ rank, index, name: key, row, element: 0 }, code, () => `${shown}[${row}]`, message, help);
    }
  }

  /** A cell of a field; `element` counts in row-major order, -1 = the row's whole value. */
  cell(code: string, index: number, row: number, element: number, message: Sentence, help?: Sentence): void {
    const order = { rank: RANK[code]!, index, name: "", row, element };
    this.add(order, code, () => this.path(index, row, element), message, help);
  }

  /** The first sixteen: by class, field, row, element; unknown names by their UTF-8 bytes. */
  ordered(): Violation[] {
    this.found.sort(byOrder);
    return this.found.slice(0, MAX_DETAILS).map(({ violation }) => violation);
  }

  /** Throw `ContractError` where anything was found. */
  settle(): void {
    if (this.any) throw ContractError.of(this.ordered());
  }

  private add(order: Order, code: string, path: () => string, message: Sentence, help?: Sentence): void {
    if (this.last && compare(order, this.last) > 0) return;
    const text = typeof message === "function" ? message() : message;
    const line = typeof help === "function" ? help() : help;
    this.found.push({ order, violation: { code, path: path(), message: text ?? "", ...(line ? { help: line } : {}) } });
    if (this.found.length >= 4 * MAX_DETAILS) {
      this.found.sort(byOrder);
      this.found.length = MAX_DETAILS;
      this.last = this.found[MAX_DETAILS - 1]!.order;
    }
  }

  private path(index: number, row: number, element: number): string {
    const field = this.fields[index]!;
    let at = "";
    if (element >= 0) {
      for (const size of [...field.shape].reverse()) {
        at = `[${element % size}]${at}`;
        element = Math.floor(element / size);
      }
    }
    return `${this.side}.${field.name}[${row}]${at}`;
  }
}

function byOrder(left: { order: Order }, right: { order: Order }): number {
  return compare(left.order, right.order);
}

function compare(left: Order, right: Order): number {
  return (
    left.rank - right.rank ||
    left.index - right.index ||
    comparePoints(left.name, right.name) ||
    left.row - right.row ||
    left.element - right.element
  );
}

/** A name as a path shows it: valid UTF-8, and no longer than the longest name that a contract may give. */
export function shownName(name: string): string {
  const begun = firstPoints(name, MAX_NAME);
  const text = begun.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  return begun.length < name.length ? `${text}…` : text;
}

/** A value as a message shows it: short, never a whole body. */
export function describe(value: Json | Uint8Array | undefined): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : shownFloat(value);
  if (typeof value === "bigint") {
    return value < LONG && value > -LONG ? String(value) : "an integer of more than 40 digits";
  }
  if (value instanceof Literal) return shownFloat(value.value);
  if (typeof value === "string") {
    const text = quoted(firstPoints(value, 40));
    const count = codePoints(value);
    return count <= 40 ? text : `${text.slice(0, -1)}…" (${count} characters)`;
  }
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return Array.isArray(value) ? `an array of ${value.length}` : "an object";
}

const LONG = 10n ** 40n;

/** A shape as a message shows it: never all of a hundred thousand dimensions. */
export function sizes(shape: readonly number[]): string {
  if (shape.length <= 16) return `[${shape.join(", ")}]`;
  return `[${shape.slice(0, 16).join(", ")}, …] (${shape.length} dimensions)`;
}
