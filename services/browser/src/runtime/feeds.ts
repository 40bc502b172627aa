/**
 * What a model is fed: columns of the contract as tensors of the model's own types and shapes, by the bundle's binding.
 *
 * The rules are those of the server's ONNX runner. Running the model is left to `scorer`.
 */

import type { InferenceSession, Tensor } from "onnxruntime-common";
import { type Columns, ContractError, type Dtype, type Field, ModelFailed, toHalf, type Values } from "../contract/index.js";
import { BundleInvalid, type InputBinding, MANIFEST } from "./manifest.js";

/** The constructor of ONNX Runtime's tensors; `type`, `data`, `dims`. */
export type TensorMaker = new (type: Tensor.Type, data: Tensor.DataType, dims: readonly number[]) => Tensor;

export type Feed = (columns: Columns) => Tensor;

const LARGEST: Partial<Record<Dtype, number>> = { float16: 65504, float32: 3.4028234663852886e38, float64: Number.MAX_VALUE };

const refused = (where: string, message: string): BundleInvalid => new BundleInvalid(`${where}: ${message}`, MANIFEST);

/** A row's shape as the model declares it: null for a dimension that it leaves open. */
export function rowShape(shape: readonly (number | string)[], where: string, what: string): (number | null)[] {
  if (!shape.length) throw refused(where, `${what} has no dimension for rows`);
  // ONNX Runtime Web gives an open dimension without a name as -1 in 32 bits without a sign.
  const sizes = shape.map((size) => (typeof size === "number" && size > 0 && size < 2 ** 31 ? size : null));
  if (sizes[0] !== null) throw refused(where, `${what} takes ${sizes[0]} rows only`);
  return sizes.slice(1);
}

/** How the model's declared input is fed; throws `BundleInvalid` where binding and model disagree. */
export function feedOf(
  item: InputBinding,
  fields: readonly Field[],
  declared: InferenceSession.TensorValueMetadata,
  where: string,
  make: TensorMaker,
): Feed {
  if (declared.type !== item.dtype) {
    throw refused(`${where}.dtype`, `the model's input is ${declared.type}, the binding says ${item.dtype}`);
  }
  const row = rowShape(declared.shape, `${where}.model_input`, `the input '${item.model_input}'`);
  const tail = item.stack ? stacked(row, fields, where) : alone(row, fields[0]!, where);
  const width = item.stack ? fields.length : fields[0]!.size;
  return (columns) => {
    const count = columns.rows * width;
    const data = emptyData(item.dtype, count);
    fields.forEach((field, at) => fill(data, item, field, columns, item.stack ? at : 0, item.stack ? width : 1));
    if (LARGEST[item.dtype] !== undefined) checkFinite(data as number[], item, fields);
    return new make(item.dtype as Tensor.Type, typed(item.dtype, data), [columns.rows, ...tail]);
  };
}

function stacked(row: readonly (number | null)[], fields: readonly Field[], where: string): number[] {
  if (row.length !== 1 || (row[0] !== null && row[0] !== fields.length)) {
    throw refused(`${where}.fields`, `the model's input takes ${described(row)} a row, the binding stacks ${fields.length}`);
  }
  return [fields.length];
}

/** The shape of one field's row: as it is, or with other sizes of 1, which are only spelling. */
function alone(row: readonly (number | null)[], field: Field, where: string): number[] {
  const fits = row.length === field.shape.length && row.every((size, at) => size === null || size === field.shape[at]);
  if (fits) return [...field.shape];
  const filled = row.map((size) => size ?? 1);
  const core = (sizes: readonly number[]) => sizes.filter((size) => size !== 1).join();
  if (core(filled) !== core(field.shape)) {
    throw refused(`${where}.fields`, `the model's input takes ${described(row)} a row, '${field.name}' is [${field.shape.join(", ")}]`);
  }
  return filled;
}

const described = (row: readonly (number | null)[]): string => `[${row.map((size) => size ?? "any").join(", ")}]`;

function emptyData(dtype: Dtype, count: number): unknown[] | number[] | BigInt64Array | BigUint64Array {
  if (dtype === "int64") return new BigInt64Array(count);
  if (dtype === "uint64") return new BigUint64Array(count);
  return dtype === "string" ? new Array<string>(count).fill("") : (new Float64Array(count) as unknown as number[]);
}

/** Put a field's values into every `step`-th place from `from` on; null reaches a float as NaN, text as the binding's word. */
function fill(data: ReturnType<typeof emptyData>, item: InputBinding, field: Field, columns: Columns, from: number, step: number): void {
  const values = columns.values(field.name);
  const nulls = field.nullable ? columns.nulls(field.name) : undefined;
  const big = item.dtype === "int64" || item.dtype === "uint64";
  const target = data as unknown[];
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    const place = from + at * step;
    if (nulls?.[at] && item.dtype === "string") target[place] = item.null ?? value;
    else if (nulls?.[at] && LARGEST[item.dtype] !== undefined) target[place] = NaN;
    else if (item.dtype === "string") target[place] = whole(value as string, field, at);
    else target[place] = big ? BigInt(value as number | bigint) : Number(value);
  }
}

/** Refuse a text that ONNX Runtime Web would cut: it hands texts over as C does, to their first U+0000. */
function whole(text: string, field: Field, at: number): string {
  if (!text.includes("\0")) return text;
  const path = `inputs.${field.name}[${Math.floor(at / field.size)}]${field.shape.length ? indices(at % field.size, field.shape) : ""}`;
  throw new ModelFailed("a text with U+0000 reaches no model in a browser", { path });
}

/** Refuse a number that only the model's type cannot hold: passed on as infinity it would be answered wrongly. */
function checkFinite(data: readonly number[], item: InputBinding, fields: readonly Field[]): void {
  if (item.dtype === "float64") return;
  const width = item.stack ? fields.length : fields[0]!.size;
  const held = item.dtype === "float32" ? Math.fround : halved;
  for (let at = 0; at < data.length; at++) {
    const value = data[at]!;
    if (!Number.isFinite(value) || Number.isFinite(held(value))) continue;
    const row = Math.floor(at / width);
    const field = item.stack ? fields[at % width]! : fields[0]!;
    const element = item.stack || !field.shape.length ? "" : indices(at % width, field.shape);
    throw new ContractError("out_of_range", `expected a number that fits the model's own ${item.dtype}, got ${value}`, {
      path: `inputs.${field.name}[${row}]${element}`,
    });
  }
}

/** Binary16 overflows from 65520 on, half way to what would be its next number. */
const halved = (value: number): number => (Math.abs(value) >= 65520 ? Infinity * Math.sign(value) : value);

/** `[i][j]` of a place in an array of a shape, in row-major order. */
export function indices(at: number, shape: readonly number[]): string {
  let left = at;
  const out: number[] = [];
  for (const size of [...shape].reverse()) {
    out.unshift(left % size);
    left = Math.floor(left / size);
  }
  return out.map((index) => `[${index}]`).join("");
}

function typed(dtype: Dtype, data: ReturnType<typeof emptyData>): Tensor.DataType {
  const numbers = data as unknown as Float64Array;
  switch (dtype) {
    case "float32":
      return Float32Array.from(numbers);
    case "float16":
      return half(toHalf(numbers));
    case "int8":
      return Int8Array.from(numbers);
    case "int16":
      return Int16Array.from(numbers);
    case "int32":
      return Int32Array.from(numbers);
    case "uint8":
    case "bool":
      return Uint8Array.from(numbers);
    case "uint16":
      return Uint16Array.from(numbers);
    case "uint32":
      return Uint32Array.from(numbers);
    case "string":
      return data as string[];
    default:
      return data as unknown as Tensor.DataType;
  }
}

/** ONNX Runtime takes binary16 as a Float16Array where there is one, else as its bits. */
function half(bits: Uint16Array): Tensor.DataType {
  const Own = (globalThis as { Float16Array?: new (buffer: ArrayBufferLike) => unknown }).Float16Array;
  return (Own ? new Own(bits.buffer) : bits) as Tensor.DataType;
}

/** A tensor that the model gave, as the contract's check takes it; binary16 as numbers. */
export function valuesOf(tensor: Tensor, halves: (bits: Uint16Array) => Float32Array): Values {
  const data: unknown = tensor.data;
  if (tensor.type === "float16") {
    return data instanceof Uint16Array ? halves(data) : Float32Array.from(data as ArrayLike<number>);
  }
  return data as Values;
}
