/**
 * Columns: field to values, one after another by row. The readers make them, and they only ever hold legal values.
 */

import type { Dtype, Field, Scalar } from "./field.js";
import { integer } from "./numbers.js";

/**
 * Flat values in row-major order, rows * product(shape). bool: 0 or 1; float16: its numbers in a Float32Array; int64 and
 * uint64 exactly; bytes: one Uint8Array an element.
 */
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

/** One field's values, and where they are null (1) or not (0); no mask where the field has no null. */
export interface Column {
  readonly values: Values;
  readonly nulls: Uint8Array | undefined;
}

/** Zeros or empty values of a dtype. */
export function emptyValues(dtype: Dtype, count: number): Values {
  switch (dtype) {
    case "bool":
    case "uint8":
      return new Uint8Array(count);
    case "int8":
      return new Int8Array(count);
    case "int16":
      return new Int16Array(count);
    case "int32":
      return new Int32Array(count);
    case "int64":
      return new BigInt64Array(count);
    case "uint16":
      return new Uint16Array(count);
    case "uint32":
      return new Uint32Array(count);
    case "uint64":
      return new BigUint64Array(count);
    case "float16":
    case "float32":
      return new Float32Array(count);
    case "float64":
      return new Float64Array(count);
    case "string":
      return new Array<string>(count).fill("");
    case "bytes":
      return new Array<Uint8Array>(count).fill(new Uint8Array(0));
  }
}

/** Put one value into a column's values. */
export function put(values: Values, at: number, value: Scalar): void {
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) values[at] = BigInt(value as number | bigint);
  else (values as Scalar[])[at] = typeof value === "boolean" ? Number(value) : value;
}

/** One value of a column: integers as the number that is exact or a bigint, booleans as such. */
export function valueAt(field: Field, values: Values, at: number): Scalar {
  const value = values[at] as Scalar;
  if (typeof value === "bigint") return integer(value);
  return field.kind === "bool" ? Boolean(value) : value;
}

/** An ordered mapping of field to values, always legal under its fields. */
export class Columns {
  private readonly columns: readonly Column[];
  private readonly places: ReadonlyMap<string, number>;

  /** A nullable field without a mask has its nulls by its values: NaN, or the field's `null_value`. */
  constructor(
    readonly fields: readonly Field[],
    columns: readonly { values: Values; nulls?: Uint8Array | undefined }[],
    readonly rows: number,
  ) {
    this.columns = fields.map((field, index) => {
      const { values, nulls } = columns[index]!;
      return { values, nulls: field.nullable ? (nulls ?? nullsOf(field, values)) : undefined };
    });
    this.places = new Map(fields.map((field, index) => [field.name, index]));
  }

  /** The flat values of a field, by its name. */
  values(name: string): Values {
    return this.column(name).values;
  }

  /** Where the column of a field holds null: 1 or 0 for each element. */
  nulls(name: string): Uint8Array {
    const { values, nulls } = this.column(name);
    return nulls ?? new Uint8Array(values.length);
  }

  column(name: string): Column {
    const place = this.places.get(name);
    if (place === undefined) throw new RangeError(`no column ${name}`);
    return this.columns[place]!;
  }

  /** Rows `start` to `stop`. */
  slice(start: number, stop: number): Columns {
    const columns = this.fields.map((field, index) => {
      const { values, nulls } = this.columns[index]!;
      const [from, to] = [start * field.size, stop * field.size];
      return { values: values.slice(from, to) as Values, nulls: nulls?.slice(from, to) };
    });
    return new Columns(this.fields, columns, Math.max(Math.min(stop, this.rows) - start, 0));
  }
}

function nullsOf(field: Field, values: Values): Uint8Array {
  const nulls = new Uint8Array(values.length);
  for (let at = 0; at < nulls.length; at++) if (field.isNull(valueAt(field, values, at))) nulls[at] = 1;
  return nulls;
}

/** Values of one field as they are read; null takes the field's own value for it. */
export class ColumnBuilder {
  readonly values: Values;
  readonly nulls: Uint8Array | undefined;

  constructor(
    private readonly field: Field,
    rows: number,
  ) {
    this.values = emptyValues(field.dtype, rows * field.size);
    this.nulls = field.nullable ? new Uint8Array(rows * field.size) : undefined;
  }

  put(at: number, value: Scalar): void {
    put(this.values, at, value);
    if (this.nulls && !this.field.nullIsValue && this.field.isNull(value)) this.nulls[at] = 1;
  }

  putNull(at: number): void {
    put(this.values, at, this.field.null!);
    this.nulls![at] = 1;
  }

  /** Copy one row of another builder of the same field. */
  putRow(row: number, source: ColumnBuilder): void {
    const { size } = this.field;
    for (let element = 0; element < size; element++) {
      const at = row * size + element;
      (this.values as unknown[])[at] = source.values[element];
      if (this.nulls) this.nulls[at] = source.nulls![element]!;
    }
  }
}
