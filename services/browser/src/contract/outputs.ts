/**
 * What a model answered, held against the contract's outputs: values decide, as they do on the way in.
 */

import { ColumnBuilder, Columns, type Values } from "./columns.js";
import { ModelFailed } from "./errors.js";
import { type Dtype, type Field, kindOf, type Scalar } from "./field.js";
import { describe, Findings } from "./findings.js";
import { integer, shownFloat } from "./numbers.js";
import { checkFloat, checkInteger, checkText, type Place, refuse } from "./values.js";

/** What a model gave for one output: flat data of shape [rows, ...]. bool is 0 or 1; float16 is numbers, not bits. */
export interface ModelTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Values | ArrayLike<number>;
}

/** A model's answer as columns under the contract's outputs; throws `ModelFailed` where it leaves them. */
export function checkOutputs(
  fields: readonly Field[],
  answer: ReadonlyMap<string, ModelTensor> | Readonly<Record<string, ModelTensor>>,
  rows: number,
): Columns {
  const findings = new Findings(fields, rows, "outputs");
  const columns = fields.map((field, index) => {
    const path = `outputs.${field.name}`;
    const tensor =
      answer instanceof Map
        ? (answer as ReadonlyMap<string, ModelTensor>).get(field.name)
        : Object.hasOwn(answer, field.name)
          ? (answer as Readonly<Record<string, ModelTensor>>)[field.name]
          : undefined;
    if (!tensor) throw new ModelFailed("the model gave no such output", { path });
    const wanted = [rows, ...field.shape];
    const size = rows * field.size;
    if (tensor.shape.length !== wanted.length || tensor.shape.some((each, at) => each !== wanted[at]) || tensor.data.length !== size) {
      const message = `expected shape [${wanted.join(", ")}] from the model, got [${tensor.shape.join(", ")}]`;
      throw new ModelFailed(message, { path });
    }
    const from = kindOf(tensor.dtype);
    const text = field.kind === "string" && (from === "string" || from === "bytes");
    const number = field.numeric && (from === "int" || from === "float");
    if (from !== field.kind && !text && !number) {
      throw new ModelFailed(`expected ${field.dtype} from the model, got ${tensor.dtype}`, { path });
    }
    const column = new ColumnBuilder(field, rows);
    for (let at = 0; at < size; at++) {
      const row = Math.floor(at / field.size);
      const place = { findings, index, row, element: field.shape.length ? at % field.size : -1 };
      const checked = check(place, field, from === "float", tensor.data[at] as Scalar);
      if (checked !== undefined) column.put(at, checked);
    }
    return column;
  });
  if (findings.any) {
    const first = findings.ordered()[0]!;
    throw new ModelFailed(`the model left its contract: ${first.message}`, { path: first.path });
  }
  // A model's answer has no mask: there a value equal to `null_value` is null.
  return new Columns(
    fields,
    columns.map(({ values }) => ({ values })),
    rows,
  );
}

function check(place: Place, field: Field, float: boolean, value: Scalar): Scalar | undefined {
  switch (field.kind) {
    case "bool":
      return Boolean(value);
    case "float":
      return checkFloat(place, field, Number(value), false, float ? undefined : () => describe(value));
    case "int": {
      const shown = () => (float ? shownFloat(value as number) : describe(value));
      if (!Number.isFinite(Number(value))) return refuse(place, "not_finite", () => `expected an integer, got ${shown()}`);
      if (typeof value === "number" && !Number.isInteger(value)) {
        return refuse(place, "wrong_type", () => `expected an integer, got ${shown()}`);
      }
      const exact = typeof value === "bigint" ? integer(value) : integer(BigInt(value as number));
      return checkInteger(place, field, exact, shown);
    }
    case "string":
      return checkText(place, field, value instanceof Uint8Array ? decoded(value) : (value as string));
    case "bytes":
      return checkText(place, field, value as Uint8Array);
  }
}

/** Bytes as text; what is no UTF-8 becomes text that is none either, for the check to report. */
function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return "\ud800";
  }
}
