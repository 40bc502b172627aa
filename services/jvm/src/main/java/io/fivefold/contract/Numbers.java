package io.fivefold.contract;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;

/**
 * Numbers as the contract means them: exact integers, floats rounded once from binary64, and their spellings.
 *
 * An integer is a Long where it fits and a BigInteger elsewhere. What may stand in a field is left to {@link Values}.
 */
public final class Numbers {
  private Numbers() {}

  /** The integer in the form that sets and maps know it by. */
  static Number integer(BigInteger value) {
    return value.bitLength() < 64 ? (Number) value.longValue() : value;
  }

  static BigInteger big(Number integer) {
    return integer instanceof BigInteger ? (BigInteger) integer : BigInteger.valueOf(integer.longValue());
  }

  static boolean isInteger(Object value) {
    return value instanceof Long || value instanceof BigInteger;
  }

  /** Below, at or above zero by the exact values of integers and floats; zeros are equal, NaN is not asked. */
  static int compare(Number left, Number right) {
    if (left instanceof Long && right instanceof Long) return Long.compare((Long) left, (Long) right);
    boolean floats = left instanceof Double && right instanceof Double;
    if (floats || infinite(left) || infinite(right)) {
      double one = left.doubleValue();
      double other = right.doubleValue();
      if (infinite(left) && !infinite(right)) return one < 0 ? -1 : 1;
      if (infinite(right) && !infinite(left)) return other < 0 ? 1 : -1;
      return one < other ? -1 : one > other ? 1 : 0;
    }
    return decimal(left).compareTo(decimal(right));
  }

  private static boolean infinite(Number value) {
    return value instanceof Double && Double.isInfinite((Double) value);
  }

  private static BigDecimal decimal(Number value) {
    return value instanceof Double ? new BigDecimal((Double) value) : new BigDecimal(big(value));
  }

  static boolean finite(double value) {
    return !Double.isNaN(value) && !Double.isInfinite(value);
  }

  /** Whether a float has no fraction; false for infinities and NaN. */
  static boolean integral(double value) {
    return finite(value) && value == Math.rint(value);
  }

  /** A binary64 number rounded once, ties to even, to a float dtype; infinite where it is beyond. */
  public static double narrow(Dtype dtype, double value) {
    return dtype == Dtype.FLOAT64 ? value : dtype == Dtype.FLOAT32 ? (double) (float) value : half(value);
  }

  private static double half(double value) {
    if (!finite(value) || value == 0) return value;
    double size = Math.abs(value);
    // Half of the last step above the largest number: ties go to the even one, which is infinite.
    if (size >= 65520) return value < 0 ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
    double step = Math.scalb(1.0, Math.max(Math.getExponent(size), -14) - 10);
    // A division by a power of two is exact, and rint rounds ties to even.
    return Math.copySign(Math.rint(size / step) * step, value);
  }

  /** A number as the bits of binary16, rounded once. */
  public static short toHalf(double value) {
    double rounded = half(value);
    if (Double.isNaN(rounded)) return 0x7e00;
    int sign = Double.doubleToRawLongBits(rounded) < 0 ? 0x8000 : 0;
    double size = Math.abs(rounded);
    if (Double.isInfinite(size)) return (short) (sign | 0x7c00);
    if (size < Math.scalb(1.0, -14)) return (short) (sign | (int) Math.scalb(size, 24));
    int exponent = Math.getExponent(size);
    return (short) (sign | ((exponent + 15) << 10) | ((int) Math.scalb(size, 10 - exponent) - 1024));
  }

  /** The number that bits of binary16 stand for. */
  public static double fromHalf(short bits) {
    int exponent = (bits >>> 10) & 31;
    int fraction = bits & 1023;
    double size;
    if (exponent == 31) size = fraction != 0 ? Double.NaN : Double.POSITIVE_INFINITY;
    else if (exponent != 0) size = Math.scalb((double) (1024 + fraction), exponent - 25);
    else size = Math.scalb((double) fraction, -24);
    return (bits & 0x8000) != 0 ? -size : size;
  }

  /** A float as messages show it: the shortest digits that mean it, {@code 1e-05} and {@code 1e+16}. */
  static String shownFloat(double value) {
    if (!finite(value)) return Double.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
    Shortest made = new Shortest(value);
    if (made.exponent < -4 || made.exponent >= 16) {
      String size = String.valueOf(Math.abs(made.exponent));
      return made.mantissa() + "e" + (made.exponent < 0 ? "-" : "+") + (size.length() < 2 ? "0" : "") + size;
    }
    return made.plain();
  }

  /**
   * A finite float as JSON, as the server's encoder writes it: {@code 1.0}, {@code 1e16}, {@code 0.00001}, {@code
   * 1e-6}.
   */
  static String jsonFloat(double value) {
    Shortest made = new Shortest(value);
    return made.exponent < -5 || made.exponent >= 16 ? made.mantissa() + "e" + made.exponent : made.plain();
  }

  static String zeros(int count) {
    char[] out = new char[Math.max(count, 0)];
    Arrays.fill(out, '0');
    return new String(out);
  }

  /**
   * The shortest decimal digits that read back as a number, the nearest of that length. Java's own are longer for some
   * numbers before version 19, and on Android.
   */
  private static final class Shortest {
    final String sign;
    final String digits;
    final int exponent;

    Shortest(double value) {
      sign = Double.doubleToRawLongBits(value) < 0 ? "-" : "";
      double size = Math.abs(value);
      if (size == 0) {
        digits = "0";
        exponent = 0;
        return;
      }
      BigDecimal exact = new BigDecimal(size);
      BigDecimal best = new BigDecimal(Double.toString(size)).stripTrailingZeros();
      int count = best.precision();
      best = nearest(exact, count, size);
      for (BigDecimal fewer; count > 1 && (fewer = nearest(exact, count - 1, size)) != null; count--) best = fewer;
      best = best.stripTrailingZeros();
      digits = best.unscaledValue().toString();
      exponent = digits.length() - 1 - best.scale();
    }

    /** The nearest number of so many digits that reads back as the value, or null. */
    private static BigDecimal nearest(BigDecimal exact, int count, double value) {
      BigDecimal near = exact.round(new MathContext(count, RoundingMode.HALF_EVEN));
      if (near.doubleValue() == value) return near;
      // Below a power of two numbers lie closer: the one on the other side may be the only one that reads back.
      RoundingMode other = near.compareTo(exact) > 0 ? RoundingMode.DOWN : RoundingMode.UP;
      BigDecimal far = exact.round(new MathContext(count, other));
      return far.doubleValue() == value ? far : null;
    }

    String mantissa() {
      return sign + (digits.length() > 1 ? digits.charAt(0) + "." + digits.substring(1) : digits);
    }

    String plain() {
      if (exponent < 0) return sign + "0." + zeros(-exponent - 1) + digits;
      String padded = digits + zeros(exponent + 1 - digits.length());
      String rest = padded.substring(exponent + 1);
      return sign + padded.substring(0, exponent + 1) + "." + (rest.isEmpty() ? "0" : rest);
    }
  }
}
