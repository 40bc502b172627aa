/**
 * Whether every legal value of one field is a legal and equal value of another, as the server decides it.
 *
 * Floats are those of the dtype, members of an enumeration that other keywords forbid are none; equal is what reads the
 * same as JSON. What a difference means to an adapter is left to `adapter`.
 */

import { allows } from "./automaton.js";
import { type Field, rangeOf } from "./field.js";
import { type NumberAspect, NumberSet } from "./number-set.js";
import { Literal } from "./numbers.js";
import type { Pattern } from "./pattern.js";
import { codePoints } from "./text.js";

/** A keyword in which two fields differ so that a value may be lost; `kind` for values that never convert. */
export type Aspect =
  | NumberAspect
  | "kind"
  | "unit"
  | "labels"
  | "shape"
  | "nullable"
  | "min_length"
  | "max_length"
  | "pattern"
  | "allow_nan";

/** One reason; not `decided` where nobody can say: patterns that are too much to compare, a unit that one side names. */
export interface Misfit {
  readonly aspect: Aspect;
  readonly decided: boolean;
}

/** Why a legal value of `sender` might not be a legal, equal value of `receiver`; empty: every value is. */
export function misfits(sender: Field, receiver: Field): readonly Misfit[] {
  const out: Misfit[] = [];
  if (!sameList([sender.unit ?? ""], [receiver.unit ?? ""])) {
    out.push({ aspect: "unit", decided: sender.unit !== undefined && receiver.unit !== undefined });
  }
  if (!sameList(sender.labels, receiver.labels)) {
    out.push({ aspect: "labels", decided: sender.labels.length > 0 && receiver.labels.length > 0 });
  }
  if (!(sender.numeric && receiver.numeric) && sender.kind !== receiver.kind) return [decided("kind"), ...out];
  if (!sameList(sender.shape, receiver.shape)) out.unshift(decided("shape"));
  if (sender.nullable && !receiver.nullable) out.push(decided("nullable"));
  if (sender.numeric) out.push(...numeric(sender, receiver));
  else if (sender.kind === "string") out.push(...text(sender, receiver));
  else if (sender.kind === "bytes") out.push(...bytes(sender, receiver));
  return out;
}

/**
 * The aspects in which the receiver's `unknown` takes whatever the sender has more than the receiver knows: text outside
 * of its enumeration, and numbers of labels that it does not have. Nothing can be added to a null that is an integer.
 */
export function covered(sender: Field, receiver: Field): ReadonlySet<Aspect> {
  const { unknown } = receiver;
  if (unknown === undefined) return new Set();
  if (receiver.enum && sender.kind === "string" && receiver.kind === "string") {
    return new Set(["enum", "min_length", "max_length", "pattern"]);
  }
  const summable = sender.numeric && receiver.numeric && (sender.kind === "float" || !sender.nullable);
  if (summable && receiver.labels.includes(unknown) && sender.labels.length) {
    const known = receiver.labels.filter((label) => label !== unknown);
    if (known.every((label) => sender.labels.includes(label)) && sameList(sender.shape.slice(0, -1), receiver.shape.slice(0, -1))) {
      return new Set(["shape", "labels"]);
    }
  }
  return new Set();
}

function decided(aspect: Aspect): Misfit {
  return { aspect, decided: true };
}

export function sameList<T>(left: readonly T[], right: readonly T[]): boolean {
  return left.length === right.length && left.every((each, at) => each === right[at]);
}

function* numeric(sender: Field, receiver: Field): Iterable<Misfit> {
  const mine = new NumberSet(sender);
  const other = new NumberSet(receiver);
  if (!mine.empty) {
    if (sender.dtype !== receiver.dtype && mine.has("dtype", (value) => other.changes(value), other)) yield decided("dtype");
    if (receiver.minimum !== undefined && mine.has("minimum", (value) => other.isBelow(value), other)) yield decided("minimum");
    if (receiver.maximum !== undefined && mine.has("maximum", (value) => other.isAbove(value), other)) yield decided("maximum");
    if (receiver.enum && mine.has("enum", (value) => other.isNoMember(value), other)) yield decided("enum");
    if (sender.allowNan && receiver.allowNan) {
      // An infinity is above every maximum, the largest finite number too.
      const most = rangeOf(receiver.dtype)[1];
      for (const aspect of ["minimum", "maximum"] as const) {
        const bound = receiver[aspect];
        const value = bound instanceof Literal ? bound.value : bound;
        if (sender[aspect] === undefined && value !== undefined && (value >= most || value <= -most)) yield decided(aspect);
      }
    }
  }
  if (sender.allowNan && !receiver.allowNan) {
    const nan = sender.nullable || (receiver.kind === "float" && receiver.nullable);
    if (!nan || sender.minimum === undefined || sender.maximum === undefined) yield decided("allow_nan");
  }
}

function* text(sender: Field, receiver: Field): Iterable<Misfit> {
  if (sender.enum) {
    const own = rules(sender).filter(([aspect]) => aspect !== "enum");
    const members = (sender.enum as readonly string[]).filter((member) => own.every(([, fits]) => fits(member)));
    for (const [aspect, fits] of rules(receiver)) if (!members.every(fits)) yield decided(aspect);
    return;
  }
  const least = sender.minLength ?? 0;
  const most = sender.maxLength;
  if (receiver.enum) yield* asked(sender, "enum", least, most, receiver.enum as readonly string[]);
  if (receiver.minLength !== undefined && receiver.minLength > least) {
    const shorter = receiver.minLength - 1;
    yield* asked(sender, "min_length", least, most === undefined ? shorter : Math.min(most, shorter));
  }
  if (receiver.maxLength !== undefined && (most === undefined || most > receiver.maxLength)) {
    yield* asked(sender, "max_length", Math.max(least, receiver.maxLength + 1), most);
  }
  if (receiver.pattern && receiver.pattern.text !== sender.pattern?.text) {
    yield* asked(sender, "pattern", least, most, receiver.pattern);
  }
}

function* asked(
  sender: Field,
  aspect: Aspect,
  least: number,
  most: number | undefined,
  refusedBy?: Pattern | readonly string[],
): Iterable<Misfit> {
  if (!sender.pattern && !refusedBy) {
    yield decided(aspect);
    return;
  }
  const found = allows(sender.pattern, least, most, refusedBy);
  if (found !== false) yield { aspect, decided: found !== undefined };
}

/** The field's rules about text, by aspect. */
function rules(field: Field): readonly (readonly [Aspect, (text: string) => boolean])[] {
  const { members, minLength, maxLength, pattern } = field;
  const out: (readonly [Aspect, (text: string) => boolean])[] = [];
  if (members) out.push(["enum", (word) => members.has(word)]);
  if (minLength !== undefined) out.push(["min_length", (word) => codePoints(word) >= minLength]);
  if (maxLength !== undefined) out.push(["max_length", (word) => codePoints(word) <= maxLength]);
  if (pattern) out.push(["pattern", (word) => pattern.matches(word)]);
  return out;
}

function* bytes(sender: Field, receiver: Field): Iterable<Misfit> {
  const least = sender.minLength ?? 0;
  const most = sender.maxLength;
  if (receiver.minLength !== undefined && least < receiver.minLength) yield decided("min_length");
  if (receiver.maxLength !== undefined && (most === undefined || most > receiver.maxLength)) yield decided("max_length");
}
