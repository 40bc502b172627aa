/**
 * Numbers as the contract means them: exact integers, floats rounded once from binary64, and their spellings.
 *
 * An integer is a `number` where that is exact and a `bigint` elsewhere; JavaScript compares the two exactly. What may
 * stand in a field is left to `values`.
 */

export type Integer = number | bigint;

/**
 * A JSON number with a fraction or an exponent that is integral all the same (`3.0`), at least 2^53, or beyond binary64.
 * A plain `number` is an integer where it is integral, and a float elsewhere: only these need telling apart.
 */
export class Literal {
  constructor(
    readonly value: number,
    /** What stood there, where it may be more exact than `value`. */
    readonly text: string | null = null,
  ) {}

  /** The integer that is meant: by the text, where that is one, else by its binary64 value. Finite values only. */
  whole(): Integer {
    const exact = this.text === null ? null : integral(this.text);
    return exact === null ? integer(BigInt(this.value)) : exact;
  }
}

/** The integer that a number's text denotes, or null where it is none. */
function integral(text: string): Integer | null {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([-+]?\d+))?$/.exec(text)!;
  const digits = (whole! + fraction).replace(/^0+/, "");
  if (!digits) return 0;
  const shift = Number(exponent) - fraction.length;
  // A finite value of at least 2^53 has few places before the point, unless zeros of the fraction make up for them.
  if (shift >= 0) return integer(BigInt(sign! + digits) * 10n ** BigInt(shift));
  const cut = digits.length + shift;
  if (cut <= 0 || !/^0*$/.test(digits.slice(cut))) return null;
  return integer(BigInt(sign! + digits.slice(0, cut)));
}

/** The integer in the form that sets and maps know it by. */
export function integer(value: bigint): Integer {
  return value >= -SAFE && value <= SAFE ? Number(value) : value;
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

export type FloatType = "float16" | "float32" | "float64";
export type IntegerType = "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64";

export const INTEGER_RANGE: Readonly<Record<IntegerType, readonly [Integer, Integer]>> = {
  int8: [-128, 127],
  int16: [-32768, 32767],
  int32: [-2147483648, 2147483647],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0, 255],
  uint16: [0, 65535],
  uint32: [0, 4294967295],
  uint64: [0, 2n ** 64n - 1n],
};

/** The largest finite number of each float dtype. */
export const FLOAT_MAX: Readonly<Record<FloatType, number>> = {
  float16: 65504,
  float32: 3.4028234663852886e38,
  float64: Number.MAX_VALUE,
};

/** A binary64 number rounded once, ties to even, to a float dtype; infinite where it is beyond. */
export function narrow(dtype: FloatType, value: number): number {
  return dtype === "float64" ? value : dtype === "float32" ? Math.fround(value) : half(value);
}

const view = new DataView(new ArrayBuffer(8));

function half(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const size = Math.abs(value);
  // Half of the last step above the largest number: ties go to the even one, which is infinite.
  if (size >= 65520) return value < 0 ? -Infinity : Infinity;
  view.setFloat64(0, size);
  const exponent = Math.max((view.getUint32(0) >>> 20) - 1023, -14);
  const step = 2 ** (exponent - 10);
  // A division by a power of two is exact, and so are the parts of its result.
  const count = size / step;
  const below = Math.floor(count);
  const rest = count - below;
  const near = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
  return value < 0 ? -near * step : near * step;
}

/** Numbers as the bits of binary16, rounded once. */
export function toHalf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const value = half(values[at]!);
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
    const size = Math.abs(value);
    if (Number.isNaN(size)) out[at] = 0x7e00;
    else if (size === Infinity) out[at] = sign | 0x7c00;
    else if (size < 2 ** -14) out[at] = sign | (size * 2 ** 24);
    else {
      view.setFloat64(0, size);
      const exponent = (view.getUint32(0) >>> 20) - 1023;
      out[at] = sign | ((exponent + 15) << 10) | (size / 2 ** (exponent - 10) - 1024);
    }
  }
  return out;
}

/** The numbers that bits of binary16 stand for. */
export function fromHalf(bits: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const out = new Float32Array(bits.length);
  for (let at = 0; at < bits.length; at++) {
    const word = bits[at]!;
    const exponent = (word >>> 10) & 31;
    const fraction = word & 1023;
    const size =
      exponent === 31
        ? fraction
          ? NaN
          : Infinity
        : exponent
          ? (1024 + fraction) * 2 ** (exponent - 25)
          : fraction * 2 ** -24;
    out[at] = word & 0x8000 ? -size : size;
  }
  return out;
}

/** A float as messages show it: the shortest digits that mean it, `1e-05` and `1e+16` as the server writes them. */
export function shownFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
  const { sign, digits, exponent } = decimal(value);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${mantissa(digits)}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  return sign + plain(digits, exponent);
}

/** A finite float as JSON, as the server's encoder writes it: `1.0`, `1e16`, `0.00001`, `1e-6`. */
export function jsonFloat(value: number): string {
  const { sign, digits, exponent } = decimal(value);
  if (exponent < -5 || exponent >= 16) return `${sign}${mantissa(digits)}e${exponent}`;
  return sign + plain(digits, exponent);
}

function decimal(value: number): { sign: string; digits: string; exponent: number } {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  // The shortest digits that read back as the number are the same in both languages.
  const [mantissa, exponent] = Math.abs(value).toExponential().split("e") as [string, string];
  return { sign, digits: mantissa.replace(".", ""), exponent: Number(exponent) };
}

function mantissa(digits: string): string {
  return digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
}

function plain(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${whole}.${digits.slice(exponent + 1) || "0"}`;
}
