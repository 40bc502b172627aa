/**
 * What values a field allows: the range of its dtype, bounds, enumeration, lengths, pattern. Every reader hands its values
 * to `check`, so that a value is accepted or refused alike whatever it came in.
 */

import type { Json } from "./exact-json.js";
import type { Field, GivenNumber, Scalar } from "./field.js";
import { rangeOf } from "./field.js";
import { describe, type Findings } from "./findings.js";
import { type FloatType, type Integer, Literal, narrow, shownFloat } from "./numbers.js";
import { nearest } from "./suggestion.js";
import { codePoints, wellFormed } from "./text.js";

/** Where a value stands: field, row, and element in row-major order (-1: the row's whole value). */
export interface Place {
  readonly findings: Findings;
  readonly index: number;
  readonly row: number;
  readonly element: number;
}

type Sentence = string | (() => string | undefined);

export function refuse(place: Place, code: string, message: Sentence, help?: Sentence): undefined {
  place.findings.cell(code, place.index, place.row, place.element, message, help);
}

/** What a scalar of the field is, as a message says it. */
export function expected(field: Field): string {
  return {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    string: "a string",
    bytes: "base64 text",
  }[field.kind];
}

/**
 * A binary64 number as a value of a float field, or undefined after reporting what is wrong with it. `json` says that it
 * came as JSON, which has no infinities: there an infinite one is a number beyond binary64. `shown` is how it came.
 */
export function checkFloat(
  place: Place,
  field: Field,
  wide: number,
  json: boolean,
  shown: () => string = () => shownFloat(wide),
): number | undefined {
  const value = narrow(field.dtype as FloatType, wide);
  if (Number.isFinite(value)) return checkBounds(place, field, value, shown);
  if (Number.isNaN(value) ? field.nullable : false) return value;
  if (Number.isFinite(wide) || (json && !Number.isNaN(wide))) {
    const got = Number.isFinite(wide) ? shownFloat(wide) : "one beyond binary64";
    return refuse(place, "out_of_range", `expected ${expected(field)} that fits ${field.dtype}, got ${got}`);
  }
  if (!field.allowNan) return refuse(place, "not_finite", `expected a finite number, got ${shownFloat(wide)}`);
  return Number.isNaN(value) ? value : checkBounds(place, field, value, shown);
}

function checkBounds(place: Place, field: Field, value: number, shown: () => string): number | undefined {
  const { low, high, members } = field;
  if (low !== undefined && value < low) {
    return refuse(place, "out_of_range", () => `${limit(field, "at least", field.minimum!)}, got ${shown()}`);
  }
  if (high !== undefined && value > high) {
    return refuse(place, "out_of_range", () => `${limit(field, "at most", field.maximum!)}, got ${shown()}`);
  }
  if (members && !members.has(value)) {
    return refuse(place, "not_in_enum", () => `${oneOf(field)}, got ${shown()}`);
  }
  return value;
}

/** An integer as a value of an integer field, or undefined after reporting; `shown` is how it came. */
export function checkInteger(
  place: Place,
  field: Field,
  value: Integer,
  shown: () => string = () => describe(value),
): Integer | undefined {
  const [least, most] = rangeOf(field.dtype);
  if (value < least || value > most) {
    const article = field.dtype.startsWith("i") ? "an" : "a";
    return refuse(place, "out_of_range", () => `expected ${article} ${field.dtype}, got ${shown()}`);
  }
  if (field.isNull(value)) return value;
  const { low, high, members } = field;
  if (low !== undefined && value < low) {
    return refuse(place, "out_of_range", () => `${limit(field, "at least", field.minimum!)}, got ${shown()}`);
  }
  if (high !== undefined && value > high) {
    return refuse(place, "out_of_range", () => `${limit(field, "at most", field.maximum!)}, got ${shown()}`);
  }
  if (members && !members.has(value)) return refuse(place, "not_in_enum", () => `${oneOf(field)}, got ${shown()}`);
  return value;
}

/** Text or bytes as a value of such a field, or undefined after reporting. */
export function checkText<T extends string | Uint8Array>(place: Place, field: Field, value: T): T | undefined {
  if (typeof value === "string" && !wellFormed(value)) {
    return refuse(place, "not_utf8", "expected valid UTF-8, got a lone surrogate");
  }
  if (field.isNull(value)) return value;
  const { members, minLength, maxLength, pattern } = field;
  if (members && !members.has(value as string)) {
    const help = () => nearest(value as string, (field.enum ?? []) as string[]);
    return refuse(place, "not_in_enum", () => `${oneOf(field)}, got ${describe(value)}`, help);
  }
  if (minLength !== undefined || maxLength !== undefined) {
    const length = typeof value === "string" ? codePoints(value) : value.length;
    const unit = typeof value === "string" ? "code points" : "bytes";
    if (minLength !== undefined && length < minLength) {
      return refuse(place, "too_short", `expected at least ${minLength} ${unit}, got ${length}`);
    }
    if (maxLength !== undefined && length > maxLength) {
      return refuse(place, "too_long", `expected at most ${maxLength} ${unit}, got ${length}`);
    }
  }
  if (pattern && !pattern.matches(value as string)) {
    return refuse(place, "pattern_mismatch", () => `expected a match of ${pattern.text}, got ${describe(value)}`);
  }
  return value;
}

/** The integer that a number is, the infinity as it is, or null where it has a fraction. */
export function whole(value: number | bigint | Literal): Integer | null {
  if (value instanceof Literal) return Number.isFinite(value.value) ? value.whole() : value.value;
  return typeof value === "bigint" || Number.isInteger(value) ? value : null;
}

/** A number of JSON as binary64. */
export function wideOf(value: number | bigint | Literal): number {
  return value instanceof Literal ? value.value : Number(value);
}

export function isNumber(value: Json): value is number | bigint | Literal {
  return typeof value === "number" || typeof value === "bigint" || value instanceof Literal;
}

function limit(field: Field, word: string, value: GivenNumber): string {
  return `expected ${expected(field)} of ${word} ${describe(value)}${field.unit ? ` ${field.unit}` : ""}`;
}

function oneOf(field: Field): string {
  const members = field.enum!;
  const shown = members.slice(0, 6).map(describe).join(", ");
  return `expected one of ${shown}${members.length > 6 ? ", …" : ""}`;
}

/** A checked scalar of any kind. */
export type Checked = Scalar | undefined;
