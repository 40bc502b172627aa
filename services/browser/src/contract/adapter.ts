/**
 * Columns of one contract version as columns of another: how a model answers callers of a version that is not its own.
 *
 *     into   a caller's inputs to the model's: renamed by alias, widened, defaults filled, what the model lacks left out
 *     back   the model's outputs to the caller's: renamed by alias, widened, new outputs left out, what the caller's
 *            version does not know put under its `unknown` member
 *
 * An adapter exists only where it keeps its promise for every value that the caller's contract allows.
 */

import { defaultColumn } from "./cells.js";
import { ColumnBuilder, type Column, Columns, put, valueAt } from "./columns.js";
import type { Contract } from "./contract.js";
import { FivefoldError, ModelFailed } from "./errors.js";
import { type Field, type FieldParts, rangeOf, type Scalar } from "./field.js";
import { describe } from "./findings.js";
import { type Aspect, covered, misfits, sameList } from "./inclusion.js";
import { type FloatType, integer, Literal, narrow } from "./numbers.js";
import { pairs } from "./pairing.js";
import { named } from "./text.js";

/** How far a sum of several numbers may leave a bound, relative to it, before that is more than rounding. */
const ROUNDING = 1e-6;

/** The model cannot answer every caller of that contract version; `reasons` has a sentence for each field at fault. */
export class NotAdaptable extends FivefoldError {
  constructor(readonly reasons: readonly string[]) {
    super("bundle_invalid", reasons.join("; "));
  }
}

/** A sender's column as the receiver's. */
type Convert = (column: Column, rows: number) => ColumnBuilder;

/** The way from a caller's contract version to the model's own and back. */
export class Adapter {
  private constructor(
    /** Columns of the caller's inputs to columns of the model's. */
    readonly into: (columns: Columns) => Columns,
    /** Columns of the model's outputs to the caller's; throws `ModelFailed` where added labels leave the caller's bounds. */
    readonly back: (columns: Columns) => Columns,
    /** Inputs of the caller's that the model does not take. */
    readonly ignored: readonly string[],
  ) {}

  /** The adapter for callers of `caller` to a model of `own`; throws `NotAdaptable`. `newer` says that the caller's version
   * came after the model's: an input that it requires and the model does not have cannot be left out then. */
  static between(caller: Contract, own: Contract, newer = false): Adapter {
    const reasons: string[] = [];
    const inputs = pairs(caller.inputs, own.inputs);
    for (const [sender, receiver] of inputs.matched) reasons.push(...reasonsOf("inputs", sender.name, sender, receiver));
    for (const missing of inputs.unsent) {
      if (!missing.required) continue;
      reasons.push(`inputs.${missing.name}: required, and callers of ${caller.version} do not send it`);
    }
    for (const extra of inputs.unreceived) {
      if (!newer || !extra.required) continue;
      reasons.push(`inputs.${extra.name}: ${caller.version} requires it, and the model does not have it`);
    }
    const outputs = pairs(own.outputs, caller.outputs);
    for (const [sender, receiver] of outputs.matched) {
      reasons.push(...reasonsOf("outputs", receiver.name, sender, receiver));
    }
    for (const missing of outputs.unsent) reasons.push(`outputs.${missing.name}: the model does not give it`);
    if (reasons.length) throw new NotAdaptable(reasons);
    return new Adapter(
      wayOf(inputs.matched, own.inputs),
      wayOf(outputs.matched, caller.outputs),
      inputs.unreceived.map((extra) => extra.name),
    );
  }
}

function reasonsOf(side: string, name: string, sender: Field, receiver: Field): string[] {
  const taken = covered(sender, receiver);
  return misfits(sender, receiver)
    // A unit, or labels, that only one of them names is nothing that values show.
    .filter(({ aspect, decided }) => !taken.has(aspect) && (decided || (aspect !== "unit" && aspect !== "labels")))
    .map(({ aspect, decided }) => {
      const doubt = decided ? "" : ", and nobody can say whether all of it fits";
      return `${side}.${name}: ${aspect} ${shown(sender, aspect)} comes, ${shown(receiver, aspect)} is taken${doubt}`;
    });
}

const ATTRIBUTES: Readonly<Record<Aspect, keyof FieldParts | "kind">> = {
  kind: "kind",
  dtype: "dtype",
  shape: "shape",
  unit: "unit",
  labels: "labels",
  nullable: "nullable",
  minimum: "minimum",
  maximum: "maximum",
  enum: "enum",
  min_length: "minLength",
  max_length: "maxLength",
  pattern: "pattern",
  allow_nan: "allowNan",
};

function shown(field: Field, aspect: Aspect): string {
  const value = field[ATTRIBUTES[aspect]];
  const text = aspect === "pattern" ? (field.pattern?.text ?? "none") : words(value);
  const characters = Array.from(text);
  return characters.length <= 64 ? text : `${characters.slice(0, 63).join("")}…`;
}

function words(value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map((each) => (typeof each === "string" ? named(each) : words(each))).join(", ")}]`;
  return typeof value === "string" ? value : describe(value as number | bigint | Literal);
}

/** One direction: each receiver's column by its sender's, or by its default. */
function wayOf(matched: readonly (readonly [Field, Field])[], receivers: readonly Field[]): (columns: Columns) => Columns {
  const steps = receivers.map((receiver, index) => {
    const sender = matched.find((pair) => pair[1] === receiver)?.[0];
    if (!sender) return (columns: Columns) => defaultColumn(receivers, index, columns.rows);
    const convert = conversionOf(sender, receiver);
    return (columns: Columns): Column => {
      const column = columns.column(sender.name);
      return convert ? convert(column, columns.rows) : column;
    };
  });
  return (columns) => {
    const made = steps.map((step) => step(columns));
    return new Columns(receivers, made, columns.rows);
  };
}

/** How the sender's column becomes the receiver's; undefined: it is the receiver's. */
function conversionOf(sender: Field, receiver: Field): Convert | undefined {
  const members = receiver.members;
  if (receiver.unknown !== undefined && members && !(sender.members && [...sender.members].every((each) => members.has(each)))) {
    return converted(sender, receiver, (value) => (members.has(value as string) ? value : receiver.unknown!));
  }
  if (receiver.labels.length && receiver.unknown !== undefined && !sameList(receiver.labels, sender.labels)) {
    return folded(sender, receiver);
  }
  const same =
    sender.dtype === receiver.dtype &&
    sender.nullable === receiver.nullable &&
    (!receiver.nullable || (sender.nullIsValue === receiver.nullIsValue && sameNull(sender, receiver)));
  return same ? undefined : converted(sender, receiver, (value) => value);
}

function sameNull(sender: Field, receiver: Field): boolean {
  return sender.kind === "float" || receiver.isNull(sender.null!);
}

/** Value by value, null to null. */
function converted(sender: Field, receiver: Field, convert: (value: Scalar) => Scalar): Convert {
  return ({ values, nulls }, rows) => {
    const out = new ColumnBuilder(receiver, rows);
    for (let at = 0; at < values.length; at++) {
      if (nulls?.[at]) out.putNull(at);
      else out.put(at, receiver.kind === "float" ? Number(values[at]) : convert(valueAt(sender, values, at)));
    }
    return out;
  };
}

/** The numbers of labels that the receiver knows, in its order, and the sum of the others under its unknown one. */
function folded(sender: Field, receiver: Field): Convert {
  const unknown = receiver.labels.indexOf(receiver.unknown!);
  const known = receiver.labels.filter((label) => label !== receiver.unknown);
  const places = receiver.labels.map((label) => sender.labels.indexOf(label));
  const others = sender.labels.flatMap((label, place) => (known.includes(label) ? [] : [place]));
  const [wide, narrowed] = [sender.labels.length, receiver.labels.length];
  return ({ values }, rows) => {
    const out = new ColumnBuilder(receiver, rows);
    for (let group = 0; group * wide < values.length; group++) {
      const from = group * wide;
      const numbers = others.map((place) => valueAt(sender, values, from + place) as number | bigint);
      places.forEach((place, label) => {
        const value = label === unknown ? within(receiver, summed(receiver, numbers)) : valueAt(sender, values, from + place);
        put(out.values, group * narrowed + label, rounded(receiver, value as number | bigint));
      });
    }
    return out;
  };
}

function summed(receiver: Field, numbers: readonly (number | bigint)[]): number | bigint {
  if (receiver.kind === "float") return 0 + pairwise(numbers.map(Number));
  return integer(numbers.reduce((sum: bigint, each) => sum + BigInt(each), 0n));
}

/** The sum in the order in which numpy adds, so that it is the server's to the last bit: eight partial sums, halves from
 * 128 numbers on (N. J. Higham, "The accuracy of floating point summation", 1993). */
function pairwise(numbers: readonly number[]): number {
  const count = numbers.length;
  if (count < 8) return numbers.reduce((sum, each) => sum + each, -0);
  if (count > 128) {
    const half = Math.floor(count / 2) - (Math.floor(count / 2) % 8);
    return pairwise(numbers.slice(0, half)) + pairwise(numbers.slice(half));
  }
  const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, lane) => {
    let sum = numbers[lane]!;
    for (let at = lane + 8; at < count - (count % 8); at += 8) sum += numbers[at]!;
    return sum;
  }) as [number, number, number, number, number, number, number, number];
  return numbers.slice(count - (count % 8)).reduce((sum, each) => sum + each, a + b + (c + d) + (e + f + (g + h)));
}

function rounded(receiver: Field, value: number | bigint): number | bigint {
  return receiver.kind === "float" ? narrow(receiver.dtype as FloatType, Number(value)) : value;
}

/** A sum, or the bound that it left by no more than rounding. */
function within(receiver: Field, sum: number | bigint): number | bigint {
  const [least, most] = rangeOf(receiver.dtype);
  const [low, high] = [receiver.low ?? least, receiver.high ?? most];
  const bound = sum < low ? low : sum > high ? high : undefined;
  if (bound === undefined) return sum;
  // Integers are not rounded.
  const float = receiver.kind === "float";
  if (!float || Math.abs(Number(sum) - Number(bound)) > ROUNDING * Math.max(1, Math.abs(Number(bound)))) {
    const message = "the numbers of labels that this contract version does not know add up to more than it allows";
    throw new ModelFailed(message, { path: `outputs.${receiver.name}` });
  }
  return bound;
}
