/**
 * Columns as the JSON of the server's answers, byte for byte: integers exactly, floats by their shortest digits with a
 * fraction or an exponent, bytes as base64, null for null.
 */

import type { Column, Columns } from "./columns.js";
import type { Field } from "./field.js";
import { jsonFloat } from "./numbers.js";
import { datatypeOf } from "./tensors.js";
import { toBase64 } from "./text.js";

/** The rows as a JSON array of objects, fields in contract order: the server's `predictions`. */
export function encodeRows(columns: Columns): string {
  const written = columns.fields.map((field) => ({
    key: `${jsonText(field.name)}:`,
    value: encoder(field, columns.column(field.name)),
  }));
  const rows: string[] = [];
  for (let row = 0; row < columns.rows; row++) {
    rows.push(`{${written.map(({ key, value }) => key + value(row)).join(",")}}`);
  }
  return `[${rows.join(",")}]`;
}

/** A whole V1 answer: rows, or columns where the request came by column, and the metadata behind them. */
export function encodeAnswer(columns: Columns, byColumn: boolean, metadata: Readonly<Record<string, string>>): string {
  const answer = byColumn ? `"outputs":${encodeColumns(columns)}` : `"predictions":${encodeRows(columns)}`;
  return `{${answer},"metadata":${jsonObject(metadata)}}`;
}

/** An array for each output; as TensorFlow Serving has it, the array alone where there is one output. */
function encodeColumns(columns: Columns): string {
  const lists = columns.fields.map((field) => {
    const value = encoder(field, columns.column(field.name));
    return `[${Array.from({ length: columns.rows }, (_, row) => value(row)).join(",")}]`;
  });
  if (lists.length === 1) return lists[0]!;
  return `{${columns.fields.map((field, index) => `${jsonText(field.name)}:${lists[index]}`).join(",")}}`;
}

/** A whole V2 answer with the outputs that were asked for. */
export function encodeTensors(
  columns: Columns,
  outputs: readonly Field[],
  model: { readonly name: string; readonly version: string },
  metadata: Readonly<Record<string, string>>,
  id?: string,
): string {
  const tensors = outputs.map((field) => {
    const column = columns.column(field.name);
    const element = scalarEncoder(field, column);
    const data = Array.from({ length: columns.rows * field.size }, (_, at) => element(at));
    const shape = [columns.rows, ...field.shape].join(",");
    const head = `{"name":${jsonText(field.name)},"datatype":"${datatypeOf(field.dtype)}","shape":[${shape}]`;
    return `${head},"data":[${data.join(",")}]}`;
  });
  const identity = id === undefined ? "" : `"id":${jsonText(id)},`;
  const head = `"model_name":${jsonText(model.name)},"model_version":${jsonText(model.version)}`;
  return `{${head},${identity}"parameters":${jsonObject(metadata)},"outputs":[${tensors.join(",")}]}`;
}

/** What writes a row's value, nested by the field's shape. */
function encoder(field: Field, column: Column): (row: number) => string {
  const element = scalarEncoder(field, column);
  if (!field.shape.length) return element;
  const write = (at: number, axis: number): string => {
    if (axis === field.shape.length) return element(at);
    const step = field.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    return `[${Array.from({ length: field.shape[axis]! }, (_, index) => write(at + index * step, axis + 1)).join(",")}]`;
  };
  return (row) => write(row * field.size, 0);
}

function scalarEncoder(field: Field, { values, nulls }: Column): (at: number) => string {
  const element = ((): ((at: number) => string) => {
    switch (field.kind) {
      case "bool":
        return (at) => (values[at] ? "true" : "false");
      case "int":
        return (at) => String(values[at]);
      case "float":
        return (at) => (Number.isFinite(values[at] as number) ? jsonFloat(values[at] as number) : "null");
      case "string":
        return (at) => jsonText(values[at] as string);
      case "bytes":
        return (at) => `"${toBase64(values[at] as Uint8Array)}"`;
    }
  })();
  return nulls ? (at) => (nulls[at] ? "null" : element(at)) : element;
}

/** Text as the server writes it. */
function jsonText(text: string): string {
  return JSON.stringify(text);
}

function jsonObject(members: Readonly<Record<string, string>>): string {
  return `{${Object.entries(members)
    .map(([name, value]) => `${jsonText(name)}:${jsonText(value)}`)
    .join(",")}}`;
}
