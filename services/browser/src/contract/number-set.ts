/**
 * The numbers that a field allows, exactly: members of an enumeration, or an interval of its dtype's numbers. Integers are
 * bigint here, floats are those of the dtype; JavaScript compares the two exactly. Null and NaN are none of them.
 */

import type { Field } from "./field.js";
import { rangeOf } from "./field.js";
import { type FloatType, fromHalf, narrow, toHalf } from "./numbers.js";

type Num = number | bigint;
export type NumberAspect = "dtype" | "minimum" | "maximum" | "enum";

const NICE: readonly Num[] = [0n, 1n, 0.5, -1n, 0.1, 1.5];
const DIGITS: Readonly<Record<FloatType, bigint>> = { float16: 11n, float32: 24n, float64: 53n };

export class NumberSet {
  readonly least: Num;
  readonly most: Num;
  readonly low: Num;
  readonly high: Num;
  private readonly float: boolean;
  private readonly members: readonly Num[] | undefined;
  private readonly all: readonly Num[];

  constructor(private readonly field: Field) {
    this.float = field.kind === "float";
    const [least, most] = rangeOf(field.dtype);
    [this.least, this.most] = [this.typed(least), this.typed(most)];
    const low = field.low === undefined ? this.least : this.typed(field.low);
    const high = field.high === undefined ? this.most : this.typed(field.high);
    this.low = low > this.least ? low : this.least;
    this.high = high < this.most ? high : this.most;
    this.all = [...(field.members ?? [])].map((each) => this.typed(each as Num));
    this.members = field.members && this.all.filter((value) => this.low <= value && value <= this.high);
  }

  get empty(): boolean {
    return this.low > this.high || this.members?.length === 0;
  }

  /** Whether the dtype has no such number. */
  changes(value: Num): boolean {
    if (this.float) return !same(this.own(value), value);
    const whole = typeof value === "bigint" || Number.isInteger(value);
    return !whole || value < this.least || value > this.most;
  }

  /** Whether the field's minimum refuses the number, once it is one of the dtype. */
  isBelow(value: Num): boolean {
    return this.field.minimum !== undefined && this.cast(value) < this.low;
  }

  isAbove(value: Num): boolean {
    return this.field.maximum !== undefined && this.cast(value) > this.high;
  }

  isNoMember(value: Num): boolean {
    return this.members !== undefined && !this.knows(this.cast(value));
  }

  /** Whether a number of this set is refused, by a question of `other`'s about `aspect`. The candidates hold one wherever
   * the set does. */
  has(aspect: NumberAspect, refuses: (value: Num) => boolean, other: NumberSet): boolean {
    if (this.members) return this.members.some(refuses);
    for (const value of this.candidates(aspect, other)) if (this.holds(value) && refuses(value)) return true;
    return false;
  }

  private typed(value: Num): Num {
    return this.float ? Number(value) : BigInt(value);
  }

  private cast(value: Num): Num {
    return this.float ? this.own(value) : value;
  }

  private knows(value: Num): boolean {
    return this.all.some((each) => same(each, value));
  }

  private holds(value: Num): boolean {
    if (value < this.low || value > this.high) return false;
    return !this.changes(value) && (!this.members || this.knows(value));
  }

  private candidates(aspect: NumberAspect, other: NumberSet): Iterable<Num> {
    switch (aspect) {
      case "minimum":
        return [this.own(minus(other.low)), this.own(floor(other.low)), this.low];
      case "maximum":
        return [this.own(plus(other.high)), this.own(ceil(other.high)), this.high];
      case "enum":
        return this.first(other);
      case "dtype":
        return this.ofNoDtype(other);
    }
  }

  /** The number as one of this dtype, which may be another. */
  private own(value: Num): Num {
    if (this.float) return narrow(this.field.dtype as FloatType, Number(value));
    if (typeof value === "bigint") return value;
    return Number.isFinite(value) ? BigInt(Math.floor(value)) : this.low;
  }

  /** More numbers than the other has members, counted in this dtype and in the other's. */
  private *first(other: NumberSet): Iterable<Num> {
    for (const value of NICE) yield this.own(value);
    for (const counting of [this, other]) {
      let value = counting.own(this.low);
      for (let count = 0; count < (other.members?.length ?? 0) + 2; count++) {
        yield this.own(value);
        value = counting.next(value);
      }
    }
  }

  /** Numbers of this interval, among which is one that the other dtype lacks if it lacks any. */
  private *ofNoDtype(other: NumberSet): Iterable<Num> {
    for (const value of NICE) yield this.own(value);
    if (this.float) {
      // Floats are finest next to zero: if two neighbours there are whole, or fit a narrower dtype, all do.
      const nearest = Math.min(Math.max(Number(this.low), 0), Number(this.high));
      yield nearest;
      yield this.next(nearest);
      yield -Number(this.next(-nearest));
      yield this.low;
      yield this.high;
      return;
    }
    // Of the integers that a float dtype lacks those next to 2^digits come first, and beyond it is every odd one.
    const fine = other.float ? 2n ** DIGITS[other.field.dtype as FloatType] : 0n;
    if (other.float) {
      yield fine + 1n;
      yield -fine - 1n;
    } else {
      yield plus(other.most);
      yield minus(other.least);
    }
    yield this.low;
    yield plus(this.low);
    yield this.high;
    yield minus(this.high);
  }

  private next(value: Num): Num {
    return this.float ? following(this.field.dtype as FloatType, Number(value)) : plus(value);
  }
}

function same(left: Num, right: Num): boolean {
  return left <= right && left >= right;
}

function plus(value: Num): Num {
  return typeof value === "bigint" ? value + 1n : value + 1;
}

function minus(value: Num): Num {
  return typeof value === "bigint" ? value - 1n : value - 1;
}

function floor(value: Num): Num {
  return typeof value === "bigint" ? value : BigInt(Math.floor(value));
}

function ceil(value: Num): Num {
  return typeof value === "bigint" ? value : BigInt(Math.ceil(value));
}

/** The next larger number of a float dtype. */
function following(dtype: FloatType, value: number): number {
  if (value === 0) return dtype === "float64" ? Number.MIN_VALUE : dtype === "float32" ? 2 ** -149 : 2 ** -24;
  const step = value > 0 ? 1 : -1;
  if (dtype === "float16") return fromHalf([toHalf([value])[0]! + step])[0]!;
  const view = new DataView(new ArrayBuffer(8));
  if (dtype === "float32") {
    view.setFloat32(0, value);
    view.setUint32(0, view.getUint32(0) + step);
    return view.getFloat32(0);
  }
  view.setFloat64(0, value);
  view.setBigUint64(0, view.getBigUint64(0) + BigInt(step));
  return view.getFloat64(0);
}
