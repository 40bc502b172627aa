/**
 * One field of a contract: a named value of a row, its dtype, and what it may be.
 *
 * Reading fields from contract.json is left to `parse`, holding values against them to `values`.
 */

import type { Json } from "./exact-json.js";
import { FLOAT_MAX, type FloatType, INTEGER_RANGE, type Integer, type IntegerType, Literal, narrow } from "./numbers.js";
import { Pattern } from "./pattern.js";
import { codePoints, fromBase64 } from "./text.js";

export type Dtype = "bool" | IntegerType | FloatType | "string" | "bytes";
export type Kind = "bool" | "int" | "float" | "string" | "bytes";

export const DTYPES = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "float32",
  "float64",
  "string",
  "bytes",
] as const satisfies readonly Dtype[];

/** A number as a contract gives it: integers are told from floats, because messages show them so. */
export type GivenNumber = Integer | Literal;

/** What contract.json says of a field, checked. */
export interface FieldParts {
  name: string;
  dtype: Dtype;
  shape?: readonly number[];
  minimum?: GivenNumber | undefined;
  maximum?: GivenNumber | undefined;
  enum?: readonly (GivenNumber | string)[] | undefined;
  nullable?: boolean;
  /** JSON of the value that stands for null where an array has none of its own. */
  nullValue?: Json | undefined;
  /** undefined: there is none, and the field is required. */
  default?: Json | undefined;
  allowNan?: boolean;
  minLength?: number | undefined;
  maxLength?: number | undefined;
  pattern?: string | undefined;
  unit?: string | undefined;
  description?: string | undefined;
  aliases?: readonly string[];
  labels?: readonly string[];
  unknown?: string | undefined;
}

/** A scalar as a column holds it. */
export type Scalar = Integer | boolean | string | Uint8Array;

export class Field {
  readonly name: string;
  readonly dtype: Dtype;
  /** The family of the dtype; values never convert between families, except integers into floats. */
  readonly kind: Kind;
  /** Empty for a scalar; otherwise each row holds an array of exactly that shape. */
  readonly shape: readonly number[];
  /** Elements in one row. */
  readonly size: number;
  readonly minimum: GivenNumber | undefined;
  readonly maximum: GivenNumber | undefined;
  readonly enum: readonly (GivenNumber | string)[] | undefined;
  readonly nullable: boolean;
  readonly nullValue: Json | undefined;
  readonly default: Json | undefined;
  readonly allowNan: boolean;
  /** In code points (string) or bytes (bytes). */
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
  readonly pattern: Pattern | undefined;
  readonly unit: string | undefined;
  readonly description: string | undefined;
  /** Other names for the field in data. */
  readonly aliases: readonly string[];
  readonly labels: readonly string[];
  /** The member of an output's enum or labels that callers get for what a later contract has added. */
  readonly unknown: string | undefined;

  /** Bounds and members in the field's own dtype: floats rounded once from binary64, as the data is. */
  readonly low: Integer | undefined;
  readonly high: Integer | undefined;
  readonly members: ReadonlySet<Integer | string> | undefined;
  /** What stands for null in a column: NaN for floats, the `null_value` elsewhere; undefined where there is no null. */
  readonly null: Scalar | undefined;
  /**
   * Whether `null_value` is itself a legal value. Then it is an ordinary value, and null is only what a spelling has of
   * its own for null; otherwise a value equal to it is null too.
   */
  readonly nullIsValue: boolean;

  constructor(parts: FieldParts) {
    this.name = parts.name;
    this.dtype = parts.dtype;
    this.kind = kindOf(parts.dtype);
    this.shape = parts.shape ?? [];
    this.size = this.shape.reduce((product, size) => product * size, 1);
    this.minimum = parts.minimum;
    this.maximum = parts.maximum;
    this.enum = parts.enum;
    this.nullable = parts.nullable ?? false;
    this.nullValue = parts.nullValue;
    this.default = parts.default;
    this.allowNan = parts.allowNan ?? false;
    this.minLength = parts.minLength;
    this.maxLength = parts.maxLength;
    this.pattern = parts.pattern === undefined ? undefined : Pattern.parse(parts.pattern);
    this.unit = parts.unit;
    this.description = parts.description;
    this.aliases = parts.aliases ?? [];
    this.labels = parts.labels ?? [];
    this.unknown = parts.unknown;
    this.low = this.own(parts.minimum);
    this.high = this.own(parts.maximum);
    this.members = parts.enum && new Set(parts.enum.map((each) => (typeof each === "string" ? each : this.own(each)!)));
    this.null = this.nullable ? this.ownNull() : undefined;
    this.nullIsValue = this.nullable && this.kind !== "float" && this.null !== undefined && this.isLegal(this.null);
  }

  get numeric(): boolean {
    return this.kind === "int" || this.kind === "float";
  }

  /** Whether a row must carry the field. */
  get required(): boolean {
    return this.default === undefined;
  }

  /** Whether a column's value is the one that stands for null. */
  isNull(value: Scalar): boolean {
    const none = this.null;
    if (none === undefined) return false;
    if (this.kind === "float") return Number.isNaN(value as number);
    return value instanceof Uint8Array ? none instanceof Uint8Array && sameBytes(value, none) : value === none;
  }

  private own(value: GivenNumber | undefined): Integer | undefined {
    if (value === undefined) return undefined;
    if (this.kind !== "float") return value instanceof Literal ? value.whole() : value;
    return narrow(this.dtype as FloatType, value instanceof Literal ? value.value : Number(value));
  }

  private ownNull(): Scalar | undefined {
    const value = this.nullValue;
    if (this.kind === "float") return NaN;
    if (this.kind === "bytes") return typeof value === "string" ? fromBase64(value)! : undefined;
    return value as Scalar | undefined;
  }

  private isLegal(value: Scalar): boolean {
    if (this.kind === "bool") return true;
    if (this.kind === "int") {
      const number = value as Integer;
      if (this.low !== undefined && number < this.low) return false;
      if (this.high !== undefined && number > this.high) return false;
      return !this.members || this.members.has(number);
    }
    const length = value instanceof Uint8Array ? value.length : codePoints(value as string);
    return (
      (!this.members || this.members.has(value as string)) &&
      (this.minLength === undefined || length >= this.minLength) &&
      (this.maxLength === undefined || length <= this.maxLength) &&
      (!this.pattern || this.pattern.matches(value as string))
    );
  }
}

/** The smallest and the largest number of a numeric dtype. */
export function rangeOf(dtype: Dtype): readonly [Integer, Integer] {
  if (Object.hasOwn(INTEGER_RANGE, dtype)) return INTEGER_RANGE[dtype as IntegerType];
  const most = FLOAT_MAX[dtype as FloatType];
  return [-most, most];
}

export function kindOf(dtype: Dtype): Kind {
  if (Object.hasOwn(INTEGER_RANGE, dtype)) return "int";
  return Object.hasOwn(FLOAT_MAX, dtype) ? "float" : (dtype as Kind);
}

/** The fields' places by their names and aliases. */
export function indices(fields: readonly Field[]): ReadonlyMap<string, number> {
  return new Map(fields.flatMap((field, index) => [field.name, ...field.aliases].map((name) => [name, index] as const)));
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}
