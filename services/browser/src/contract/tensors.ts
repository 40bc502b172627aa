/**
 * V2 bodies (Open Inference Protocol) to columns: one tensor a field, shape [rows, ...field.shape], its data in the JSON.
 *
 * Declared datatypes of numbers do not bind: values decide. Binary tensors have no place in a browser's JSON.
 */

import { defaultColumn, readFlat, unnest } from "./cells.js";
import { ColumnBuilder, Columns } from "./columns.js";
import { ContractError, ProtocolError } from "./errors.js";
import { type Json, type JsonObject, type Limits, loads, refuseRows } from "./exact-json.js";
import { type Dtype, type Field, indices, kindOf } from "./field.js";
import { describe, Findings, shownName, sizes } from "./findings.js";
import { Literal } from "./numbers.js";
import { firstNames } from "./records.js";
import { nearest } from "./suggestion.js";
import { firstPoints, named, wellFormed } from "./text.js";
import { expected } from "./values.js";

/** The protocol's datatype -> dtype. */
const DATATYPES: Readonly<Record<string, Dtype>> = {
  BOOL: "bool",
  INT8: "int8",
  INT16: "int16",
  INT32: "int32",
  INT64: "int64",
  UINT8: "uint8",
  UINT16: "uint16",
  UINT32: "uint32",
  UINT64: "uint64",
  FP16: "float16",
  FP32: "float32",
  FP64: "float64",
  BYTES: "bytes",
};
/** Datatypes that have no spelling in JSON. */
const RAW_ONLY = ["FP16", "BF16"];
/** Parameters of tensors that ask for an answer which is not given. */
const ELSEWHERE = ["shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "classification"];

/** The datatype of a field's dtype. */
export function datatypeOf(dtype: Dtype): string {
  return dtype === "string" ? "BYTES" : Object.keys(DATATYPES).find((name) => DATATYPES[name] === dtype)!;
}

interface Tensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Json;
}

/** A V2 request: its columns, its id, and the outputs that it asks for, each once. */
export interface TensorRequest {
  readonly columns: Columns;
  readonly id: string | undefined;
  readonly outputs: readonly Field[];
}

/** Reads rows spelled as tensors under a list of fields. */
export class Tensors {
  private readonly names: ReadonlyMap<string, number>;

  constructor(
    readonly fields: readonly Field[],
    private readonly outputs: readonly Field[],
  ) {
    this.names = indices(fields);
  }

  /** Read a V2 body; throws `ContractError`, or `ProtocolError` for tensors that lie elsewhere. */
  readBody(body: string | Uint8Array, limits: Limits = {}): TensorRequest {
    const request = object(loads(body, { maxDepth: limits.maxDepth }), "");
    if (!request.has("inputs")) throw malformed("expected an array of tensors, got nothing", "inputs");
    const inputs = array(request.get("inputs"), "an array", "inputs").map(inputOf);
    const outputs = array(request.get("outputs") ?? [], "an array", "outputs").map((item, index) => {
      const path = `outputs[${index}]`;
      return { name: text(item, "name", path), parameters: parameters(item as JsonObject, path) };
    });
    const own = parameters(request, "");
    const id = (request.get("id") ?? null) === null ? undefined : text(request, "id", "");
    refuseElsewhere("inputs", inputs);
    refuseElsewhere("outputs", outputs);
    const tensors = inputs.map(tensorOf);
    const chosen = this.select(outputs);
    refuseRaw(own, "binary_data_output", "parameters");
    for (const each of outputs) refuseRaw(each.parameters, "binary_data", `outputs.${shownName(each.name)}`);
    return { columns: this.read(tensors, limits.maxRows), id, outputs: chosen };
  }

  private select(asked: readonly { name: string }[]): readonly Field[] {
    if (!asked.length) return this.outputs;
    const known = new Map(this.outputs.map((field) => [field.name, field]));
    const out = new Set<Field>();
    for (const { name } of asked) {
      const field = known.get(name);
      if (!field) {
        const path = `outputs.${shownName(name)}`;
        throw new ContractError("unknown_field", "no such output", { path, help: nearest(name, known.keys()) });
      }
      out.add(field);
    }
    return [...out];
  }

  private read(tensors: readonly Tensor[], maxRows: number | undefined): Columns {
    const { fields } = this;
    const given = new Map<number, Tensor>();
    const doubled = new Set<number>();
    const unknown = new Set<string>();
    let rows: number | undefined;
    for (const tensor of tensors) {
      const index = this.names.get(tensor.name);
      if (index === undefined) {
        unknown.add(tensor.name);
        continue;
      }
      if ((tensor.shape[0] ?? -1) >= 0) rows ??= tensor.shape[0];
      if (given.has(index)) doubled.add(index);
      else given.set(index, tensor);
    }
    rows ??= 0;
    refuseRows(rows, maxRows);
    const findings = new Findings(fields, rows);
    for (const name of firstNames(unknown)) {
      findings.named("unknown_field", fields.length, name, "all", "no such field", () => nearest(name, this.names.keys()));
    }
    for (const index of doubled) {
      findings.named("duplicate_field", index, fields[index]!.name, "all", "given under two of its names");
    }
    if (!tensors.length && !fields.some((field) => field.required)) {
      findings.whole("malformed", "inputs", "expected at least one tensor: no tensor, no number of rows");
    }
    const columns = fields.map((field, index) => {
      const tensor = given.get(index);
      if (doubled.has(index)) return undefined;
      if (tensor) return this.column(findings, index, tensor);
      if (field.required) {
        findings.named("missing_field", index, field.name, "all", "expected a tensor, got nothing");
        return undefined;
      }
      return findings.any ? undefined : defaultColumn(fields, index, rows);
    });
    findings.settle();
    return new Columns(fields, columns as ColumnBuilder[], rows);
  }

  private column(findings: Findings, index: number, tensor: Tensor): ColumnBuilder | undefined {
    const field = this.fields[index]!;
    const { rows } = findings;
    const { shape } = tensor;
    const path = `inputs.${field.name}`;
    const wanted = `shape [${["rows", ...field.shape].join(", ")}]`;
    if (shape.some((size) => size < 0)) {
      findings.whole("malformed", path, () => `expected sizes of at least 0, got shape ${sizes(shape)}`);
      return undefined;
    }
    if (!shape.length) {
      findings.named("wrong_shape", index, field.name, "all", `expected ${wanted}, got shape []`);
      return undefined;
    }
    if (!Array.isArray(tensor.data)) {
      findings.whole("malformed", path, `expected an array of data, got ${describe(tensor.data)}`);
      return undefined;
    }
    const data = tensor.data.some(Array.isArray) ? unnest(tensor.data, shape) : tensor.data;
    if (!data) {
      findings.whole("malformed", path, () => `expected data flat or nested as shape ${sizes(shape)}`);
      return undefined;
    }
    const count = elements(shape);
    if (data.length !== count) {
      const shown = count === MOST_ELEMENTS ? "more than 2^62" : String(count);
      findings.whole("malformed", path, `expected ${shown} elements for shape ${sizes(shape)}, got ${data.length}`);
      return undefined;
    }
    if (shape[0] !== rows) {
      findings.whole("malformed", path, `expected ${rows} rows as in the first tensor, got ${shape[0]}`);
      return undefined;
    }
    if (!takes(field, tensor.dtype)) {
      everyCell(findings, index, "wrong_type", `expected ${expected(field)}, got a tensor of ${tensor.dtype}`);
      return undefined;
    }
    const inner = shape.slice(1);
    const same = inner.length === field.shape.length && inner.every((size, at) => size === field.shape[at]);
    if (!same && !(!field.shape.length && inner.length === 1 && inner[0] === 1)) {
      const message = `expected ${wanted}, got shape ${sizes(shape)}`;
      if (!rows) findings.named("wrong_shape", index, field.name, "all", message);
      for (let row = 0; row < Math.min(rows, 17); row++) findings.cell("wrong_shape", index, row, -1, message);
      return undefined;
    }
    const column = findings.any ? undefined : new ColumnBuilder(field, rows);
    readFlat(findings, index, data, column);
    return column;
  }
}

/** The product of sizes, as far as `MOST_ELEMENTS`. */
function elements(shape: readonly number[]): number {
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (count >= MOST_ELEMENTS) return MOST_ELEMENTS;
  }
  return count;
}

const MOST_ELEMENTS = 2 ** 62;

/** Whether a tensor of that dtype may hold the field's values. */
function takes(field: Field, dtype: Dtype): boolean {
  const kind = kindOf(dtype);
  if (field.numeric) return kind === "int" || kind === "float";
  return kind === field.kind || (field.kind === "string" && kind === "bytes");
}

/** Refuse every cell of a field with one sentence. */
function everyCell(findings: Findings, index: number, code: string, message: string): void {
  const field = findings.fields[index]!;
  if (!findings.rows) findings.named(code, index, field.name, "all", message);
  for (let cell = 0; cell < Math.min(findings.rows * field.size, 16); cell++) {
    findings.cell(code, index, Math.floor(cell / field.size), field.shape.length ? cell % field.size : -1, message);
  }
}

interface Input {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: Json;
  readonly parameters: JsonObject | null;
}

function inputOf(item: Json, index: number): Input {
  let path = `inputs[${index}]`;
  const name = text(item, "name", path);
  const owner = item as JsonObject;
  path = `inputs.${shownName(name)}`;
  const shape = array(owner.get("shape"), "an array of sizes", path).map((size) => {
    const value = size instanceof Literal ? size.value : size;
    if (typeof value !== "number" || !Number.isInteger(value) || value < -1 || value >= 2 ** 53) {
      throw malformed(`expected a shape of whole sizes, got ${describe(size)}`, path);
    }
    return value;
  });
  return {
    name,
    shape,
    datatype: text(item, "datatype", path),
    data: owner.get("data") ?? null,
    parameters: parameters(owner, path),
  };
}

function tensorOf(item: Input): Tensor {
  const path = `inputs.${shownName(item.name)}`;
  const { datatype } = item;
  if (!Object.hasOwn(DATATYPES, datatype) && datatype !== "BF16") {
    const message = `expected a datatype, got ${named(firstPoints(datatype, 64))}`;
    throw new ContractError("malformed", message, { path, help: [...Object.keys(DATATYPES), "BF16"].join(", ") });
  }
  const size = item.parameters?.get("binary_data_size") ?? null;
  if (size !== null) {
    if (typeof size !== "number" || !Number.isInteger(size) || size < 0) {
      throw malformed(`expected a binary_data_size in bytes, got ${describe(size)}`, path);
    }
    throw malformed("binary_data_size without the header Inference-Header-Content-Length", path);
  }
  if (item.data === null) throw malformed("expected data, or a binary_data_size, got neither", path);
  if (RAW_ONLY.includes(datatype)) {
    throw new ContractError("malformed", `${datatype} has no form in JSON`, { path, help: "send it as FP32" });
  }
  return { name: item.name, dtype: DATATYPES[datatype]!, shape: item.shape, data: item.data };
}

interface Named {
  readonly name: string;
  readonly parameters: JsonObject | null;
}

function refuseElsewhere(side: string, parts: readonly Named[]): void {
  for (const part of parts) {
    for (const name of ELSEWHERE) {
      if ((part.parameters?.get(name) ?? null) === null) continue;
      const path = `${side}.${shownName(part.name)}`;
      throw new ProtocolError("not_implemented", `${name} is not served here`, { path });
    }
  }
}

/** An answer is JSON here: what asks for raw bytes would not understand it. */
function refuseRaw(given: JsonObject | null, name: string, path: string): void {
  const value = given?.get(name) ?? null;
  if (value === null || value === false) return;
  if (value !== true) throw malformed(`expected true or false, got ${describe(value)}`, `${path}.${name}`);
  throw new ProtocolError("not_implemented", `${name} is not served here`, { path: `${path}.${name}` });
}

function text(owner: Json | undefined, member: string, path: string): string {
  const where = path ? `${path}.${member}` : member;
  const value = object(owner, path).get(member) ?? null;
  if (typeof value !== "string") throw malformed(`expected a string, got ${got(value)}`, where);
  if (!wellFormed(value)) throw malformed("expected text that is valid UTF-8", where);
  return value;
}

function parameters(owner: JsonObject, path: string): JsonObject | null {
  const where = path ? `${path}.parameters` : "parameters";
  const given = owner.get("parameters") ?? null;
  if (given === null) return null;
  const out = object(given, where);
  for (const [name, value] of out) {
    if (Array.isArray(value) || value instanceof Map) {
      throw malformed(`expected a string, a number or a boolean as ${describe(name)}, got ${describe(value)}`, where);
    }
  }
  return out;
}

function object(value: Json | undefined, path: string): JsonObject {
  if (!(value instanceof Map)) throw malformed(`expected an object, got ${got(value)}`, path);
  return value;
}

function array(value: Json | undefined, what: string, path: string): readonly Json[] {
  if (!Array.isArray(value)) throw malformed(`expected ${what}, got ${got(value)}`, path);
  return value;
}

function got(value: Json | undefined): string {
  return value === null || value === undefined ? "nothing" : describe(value);
}

function malformed(message: string, path: string): ContractError {
  return new ContractError("malformed", message, { path });
}
