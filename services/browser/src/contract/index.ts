/**
 * The contract in the browser: the same values are accepted and refused as by the server, with the same codes and paths.
 *
 * Reading bodies, checking a model's answer, writing it as JSON, and what other contract versions' callers send and get
 * are here. Running the model, and everything about a network or a disk, is left to whoever calls.
 */

export type Dtype =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "float16"
  | "float32"
  | "float64"
  | "string"
  | "bytes";

/** Flat values in row-major order, rows * product(shape). bool: 0 or 1 in a Uint8Array; float16: numbers of binary16 in a
 * Float32Array; int64 and uint64 are exact; bytes: one Uint8Array an element. */
export type Values =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array
  | string[]
  | Uint8Array[];

export interface Violation {
  code: string;
  path: string;
  message: string;
  help?: string;
}

/** `code`, `path`, `message`, `help`, `details`, as the server's errors have them; `toJSON` is the body of its answers. */
export declare class FivefoldError extends Error {
  readonly code: string;
  readonly path: string;
  readonly help: string | undefined;
  readonly details: readonly Violation[];
  toJSON(requestId?: string): Record<string, unknown>;
}

/** The caller's data breaks the contract. */
export declare class ContractError extends FivefoldError {}
/** A contract.json that is none. */
export declare class ContractInvalid extends FivefoldError {}
/** The model's answer leaves the contract: `model_failed`. */
export declare class ModelFailed extends FivefoldError {}
/** `contract_unsupported`. */
export declare class ProtocolError extends FivefoldError {}

export interface Field {
  readonly name: string;
  readonly dtype: Dtype;
  readonly kind: "bool" | "int" | "float" | "string" | "bytes";
  /** Empty for a scalar. */
  readonly shape: readonly number[];
  /** Elements in one row. */
  readonly size: number;
  readonly nullable: boolean;
  readonly required: boolean;
  readonly unit: string | undefined;
  readonly description: string | undefined;
  readonly aliases: readonly string[];
  readonly labels: readonly string[];
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
  readonly pattern: string | undefined;
  /** What stands for null in a column: NaN for floats, the `null_value` elsewhere. */
  readonly null: number | bigint | boolean | string | Uint8Array | undefined;
  /** The field as contract.json has it, for forms: minimum, maximum, enum, default, … as `JSON.parse` gives them. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** An ordered mapping of field to values, always legal under its fields. */
export declare class Columns {
  readonly fields: readonly Field[];
  readonly rows: number;
  values(name: string): Values;
  /** Where the column holds null: 1 or 0 for each element. */
  nulls(name: string): Uint8Array;
}

export interface Limits {
  maxRows?: number;
  maxDepth?: number;
}

/** A body that was read: its columns, and how its answer is to be spelled. */
export interface Request {
  columns: Columns;
  /** Whether a V1 body came by column (`inputs`), so that the answer goes by column (`outputs`). */
  byColumn: boolean;
  /** Of a V2 request: its id, and the outputs that it asks for (all, where it names none). */
  id?: string;
  outputs: readonly Field[];
}

/** What a model gave for one output. */
export interface ModelTensor {
  dtype: Dtype;
  /** [rows, ...shape] */
  shape: readonly number[];
  data: Values;
}

export declare class Contract {
  readonly name: string;
  readonly version: string;
  readonly description: string | undefined;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  /** Read contract.json; throws `ContractInvalid` with the JSON path of the first thing that is wrong. */
  static parse(text: string | Uint8Array): Contract;
  /** Columns of a V1 body; throws `ContractError`. */
  read(body: string | Uint8Array, limits?: Limits): Columns;
  /** A V1 body with how it was spelled; throws `ContractError`. */
  readRows(body: string | Uint8Array, limits?: Limits): Request;
  /** A V2 body; throws `ContractError`. */
  readTensors(body: string | Uint8Array, limits?: Limits): Request;
  /** A model's answer, output by output, as columns; throws `ModelFailed`. */
  checkOutputs(answer: Readonly<Record<string, ModelTensor>>, rows: number): Columns;
}

/** A model of one contract as callers of a version see it. */
export declare class View {
  /** `NAME@VERSION` of the caller's contract. */
  readonly name: string;
  readonly contract: Contract;
  /** Inputs of this version that the model does not take. */
  readonly ignored: readonly string[];
  readonly deprecated: string | undefined;
  readonly sunset: string | undefined;
  /** The caller's inputs as the model's own. */
  into(columns: Columns): Columns;
  /** The model's outputs as the caller's; throws `ModelFailed`. */
  back(columns: Columns): Columns;
}

export interface CarriedVersion {
  contract: Contract;
  newer?: boolean;
  deprecated?: string;
  sunset?: string;
}

/** The contract versions under which a model is served: its own, and those that its bundle carries. */
export declare class Views {
  readonly own: View;
  readonly default: View;
  readonly versions: readonly string[];
  /** Throws where a version cannot be answered. `fallback` is for callers that name none; the oldest where absent. */
  static of(model: string, own: Contract, carried: readonly CarriedVersion[], fallback?: string): Views;
  /** By `VERSION` or `NAME@VERSION`; throws `ProtocolError` `contract_unsupported`. */
  find(asked: string): View;
}

/** The rows as a JSON array of objects, byte for byte as the server's `predictions`. */
export declare function encodeRows(columns: Columns): string;
/** A whole V1 answer: `predictions` or `outputs`, then `metadata`. */
export declare function encodeAnswer(request: Request, columns: Columns, metadata: Readonly<Record<string, string>>): string;
/** A whole V2 answer. */
export declare function encodeTensors(
  request: Request,
  columns: Columns,
  model: { name: string; version: string },
  metadata: Readonly<Record<string, string>>,
): string;

/** Numbers as the bits of binary16, and back. */
export declare function toHalf(values: ArrayLike<number>): Uint16Array;
export declare function fromHalf(bits: Uint16Array): Float32Array;
