/**
 * Golden rows: what the packed model answered, against which every runtime proves itself.
 *
 * The text of a row is kept as it stands, so that an integer beyond 2^53 is no other one when it is read.
 */

import { type Columns, encodeRows, type Field } from "../contract/index.js";
import { type Json, parse } from "../contract/exact-json.js";
import { Literal } from "../contract/numbers.js";
import { indices } from "./feeds.js";
import { BundleInvalid } from "./manifest.js";

export const GOLDEN = "golden.jsonl";

/** The texts of a golden row's two records. */
export interface GoldenRow {
  readonly given: string;
  readonly answer: string;
}

/** The rows of golden.jsonl; throws `BundleInvalid`. */
export function goldenRows(text: string): GoldenRow[] {
  const lines = text.split("\n");
  if (lines.pop() !== "" || !lines.length) throw new BundleInvalid("expected lines, each ended", GOLDEN);
  return lines.map((line, row) => {
    const members = topMembers(line);
    const [given, answer] = [members.get("in"), members.get("out")];
    if (given === undefined || answer === undefined || members.size !== 2) {
      throw new BundleInvalid(`row ${row}: expected {"in": record, "out": record}`, GOLDEN);
    }
    return { given, answer };
  });
}

/** The members of a JSON object, each value as its text. */
export function topMembers(line: string): Map<string, string> {
  const out = new Map<string, string>();
  const token = /"(?:[^"\\]|\\.)*"|[[\]{},:]/g;
  let depth = 0;
  let name: string | undefined;
  let start = 0;
  for (let match = token.exec(line); match; match = token.exec(line)) {
    const [word] = match;
    if (depth === 1 && word === ":" && name !== undefined && start === 0) start = token.lastIndex;
    else if (depth === 1 && (word === "," || word === "}")) {
      if (name !== undefined && start) out.set(name, line.slice(start, match.index).trim());
      [name, start] = [undefined, 0];
    } else if (depth === 1 && word[0] === '"' && name === undefined) name = JSON.parse(word) as string;
    if (word === "{" || word === "[") depth += 1;
    else if (word === "}" || word === "]") depth -= 1;
  }
  return out;
}

/** The largest difference of any number of two answers, and a sentence on the first value beyond the tolerance. */
export interface Comparison {
  readonly largest: number;
  readonly difference: string | undefined;
}

/** Hold an answer against the recorded rows: floats to `tolerance * max(1, |expected|)`, all else exactly. */
export function compared(fields: readonly Field[], got: Columns, expected: readonly GoldenRow[], tolerance: number): Comparison {
  const ours = parse(encodeRows(got)) as Json[];
  let largest = 0;
  let difference: string | undefined;
  expected.forEach(({ answer }, row) => {
    const theirs = parse(answer) as Map<string, Json>;
    for (const field of fields) {
      const left = flat((ours[row] as Map<string, Json>).get(field.name));
      const right = flat(theirs.get(field.name));
      for (let at = 0; at < Math.max(left.length, right.length); at++) {
        const apart = distance(field, left[at], right[at]);
        if (field.kind === "float" && apart > 0 && Number.isFinite(apart)) largest = Math.max(largest, apart);
        const limit = field.kind === "float" ? tolerance * Math.max(1, Math.abs(float(field, right[at]))) : 0;
        // The limit of a null is none, and two nulls are no distance apart.
        if (apart === 0 || apart <= limit || difference !== undefined) continue;
        const where = field.shape.length ? indices(at, field.shape) : "";
        const within = field.kind === "float" ? ` within ${tolerance}` : "";
        difference = `row ${row}, outputs.${field.name}${where}: expected ${shown(right[at])}${within}, got ${shown(left[at])}`;
      }
    }
  });
  return { largest, difference };
}

const flat = (value: Json | undefined): (Json | undefined)[] => (Array.isArray(value) ? value.flatMap(flat) : [value]);

/** 0 for the same value; how far apart two floats are; infinity for everything else. */
function distance(field: Field, got: Json | undefined, expected: Json | undefined): number {
  if (field.kind === "float") {
    const [left, right] = [float(field, got), float(field, expected)];
    if (Object.is(left, right) || left === right) return 0;
    return Number.isNaN(left) || Number.isNaN(right) ? Infinity : Math.abs(left - right);
  }
  return plain(got) === plain(expected) ? 0 : Infinity;
}

/** A number in the field's own dtype; null, and what is no number, as NaN. */
function float(field: Field, value: Json | undefined): number {
  const wide = value instanceof Literal ? value.value : typeof value === "number" || typeof value === "bigint" ? Number(value) : NaN;
  return field.dtype === "float64" ? wide : Math.fround(wide);
}

const plain = (value: Json | undefined): unknown => {
  if (value instanceof Literal) return value.whole() ?? value.value;
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
};

const shown = (value: Json | undefined): string => {
  if (value instanceof Literal) return String(value.value);
  return typeof value === "bigint" ? String(value) : JSON.stringify(value) ?? "nothing";
};
