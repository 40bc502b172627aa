/**
 * JSON values as cells of a field: what is wrong with a value's type and shape is decided here, everything else by
 * `values`.
 */

import { type Column, ColumnBuilder } from "./columns.js";
import type { Json } from "./exact-json.js";
import type { Field, Scalar } from "./field.js";
import { describe, Findings } from "./findings.js";
import { fromBase64 } from "./text.js";
import { checkFloat, checkInteger, checkText, expected, isNumber, type Place, refuse, whole, wideOf } from "./values.js";

/** Read the value of one row; nothing is kept where `into` is undefined, because the input is refused already. */
export function readRow(findings: Findings, index: number, row: number, value: Json, into: ColumnBuilder | undefined): void {
  const field = findings.fields[index]!;
  if (!field.shape.length) {
    readElement(findings, index, row, -1, value, into, row);
    return;
  }
  const elements = elementsOf(findings, index, row, value);
  if (!elements) return;
  const start = row * field.size;
  for (let element = 0; element < field.size; element++) {
    const item = elements === ALL_NULL ? null : elements[element]!;
    readElement(findings, index, row, element, item, into, start + element);
  }
}

/** Read scalar values in row-major order, as a tensor has them. */
export function readFlat(findings: Findings, index: number, flat: readonly Json[], into: ColumnBuilder | undefined): void {
  const { size, shape } = findings.fields[index]!;
  for (let at = 0; at < flat.length; at++) {
    readElement(findings, index, Math.floor(at / size), shape.length ? at % size : -1, flat[at]!, into, at);
  }
}

/** What a row holds in an optional field that it does not give. */
export function defaultCell(fields: readonly Field[], index: number): ColumnBuilder {
  const cell = new ColumnBuilder(fields[index]!, 1);
  readRow(new Findings(fields, 1), index, 0, fields[index]!.default ?? null, cell);
  return cell;
}

/** That default in every row. */
export function defaultColumn(fields: readonly Field[], index: number, rows: number): Column {
  const column = new ColumnBuilder(fields[index]!, rows);
  const cell = defaultCell(fields, index);
  for (let row = 0; row < rows; row++) column.putRow(row, cell);
  return column;
}

function readElement(
  findings: Findings,
  index: number,
  row: number,
  element: number,
  value: Json,
  into: ColumnBuilder | undefined,
  at: number,
): void {
  const field = findings.fields[index]!;
  if (field.kind === "bytes" && isWrapped(value)) value = value.get("b64")!;
  const place: Place = { findings, index, row, element };
  if (value === null) {
    if (field.nullable) into?.putNull(at);
    else refuse(place, "null_not_allowed", `expected ${expected(field)}, got null`);
    return;
  }
  const checked = readScalar(place, field, value);
  if (checked !== undefined) into?.put(at, checked);
}

function readScalar(place: Place, field: Field, value: Json): Scalar | undefined {
  if (Array.isArray(value)) return refuse(place, "wrong_shape", refusal(field, value));
  switch (field.kind) {
    case "bool":
      return typeof value === "boolean" ? value : refuse(place, "wrong_type", refusal(field, value));
    case "float":
      if (!isNumber(value)) return refuse(place, "wrong_type", refusal(field, value));
      return checkFloat(place, field, wideOf(value), true);
    case "int": {
      const exact = isNumber(value) ? whole(value) : null;
      if (exact === null) return refuse(place, "wrong_type", refusal(field, value));
      return checkInteger(place, field, exact, () => (Number.isFinite(Number(exact)) ? describe(exact) : shownInfinity(exact)));
    }
    case "string":
      return typeof value === "string" ? checkText(place, field, value) : refuse(place, "wrong_type", refusal(field, value));
    case "bytes": {
      const bytes = typeof value === "string" ? fromBase64(value) : null;
      return bytes ? checkText(place, field, bytes) : refuse(place, "wrong_type", refusal(field, value));
    }
  }
}

function shownInfinity(value: number | bigint): string {
  return typeof value === "bigint" ? describe(value) : value < 0 ? "-inf" : "inf";
}

function refusal(field: Field, value: Json): () => string {
  return () => `expected ${expected(field)}, got ${got(field, value)}`;
}

function got(field: Field, value: Json): string {
  if (typeof value !== "string") return describe(value);
  return `${field.kind === "bytes" ? "other text:" : "the string"} ${describe(value)}`;
}

/** Whether a value is `{"b64": "…"}`, as TensorFlow Serving's clients spell bytes in JSON. */
export function isWrapped(value: Json): value is Map<string, Json> {
  return value instanceof Map && value.size === 1 && typeof value.get("b64") === "string";
}

const ALL_NULL: readonly Json[] = [];

/** A row's value as a flat list of its elements, `ALL_NULL` for null, or null when it was refused. */
function elementsOf(findings: Findings, index: number, row: number, value: Json): readonly Json[] | null {
  const field = findings.fields[index]!;
  const wanted = `an array of shape [${field.shape.join(", ")}]`;
  if (value === null) {
    if (field.nullable) return ALL_NULL;
    findings.cell("null_not_allowed", index, row, -1, `expected ${wanted}, got null`);
    return null;
  }
  if (!Array.isArray(value)) {
    const code = isRight(field, value) ? "wrong_shape" : "wrong_type";
    findings.cell(code, index, row, -1, () => `expected ${wanted}, got ${got(field, value)}`);
    return null;
  }
  const flat = flatten(value, field.shape);
  if (!flat) findings.cell("wrong_shape", index, row, -1, () => `expected ${wanted}, got ${shapeOf(value)}`);
  return flat;
}

/** Whether a scalar is of the field's kind. */
function isRight(field: Field, value: Json): boolean {
  switch (field.kind) {
    case "bool":
      return typeof value === "boolean";
    case "float":
      return isNumber(value);
    case "int":
      return isNumber(value) && whole(value) !== null;
    case "string":
      return typeof value === "string";
    case "bytes": {
      const text = isWrapped(value) ? value.get("b64")! : value;
      return typeof text === "string" && fromBase64(text) !== null;
    }
  }
}

/** The elements of a value nested exactly as `shape`, or flat with as many elements; null for anything else. */
function flatten(value: readonly Json[], shape: readonly number[]): readonly Json[] | null {
  const count = shape.reduce((product, size) => product * size, 1);
  if (!value.some(Array.isArray)) return value.length === count ? value : null;
  const level = unnest(value, shape);
  return level?.some(Array.isArray) ? null : level;
}

/** The elements of arrays nested as `shape`, whatever they are; null for anything else. */
export function unnest(value: readonly Json[], shape: readonly number[]): readonly Json[] | null {
  let level: Json[] = [value as Json[]];
  for (const size of shape) {
    const following: Json[] = [];
    for (const item of level) {
      if (!Array.isArray(item) || item.length !== size) return null;
      for (const each of item) following.push(each);
    }
    level = following;
  }
  return level;
}

function shapeOf(value: Json): string {
  const found: number[] = [];
  while (Array.isArray(value)) {
    found.push(value.length);
    value = value[0] ?? null;
  }
  return `one of shape [${found.join(", ")}]`;
}
