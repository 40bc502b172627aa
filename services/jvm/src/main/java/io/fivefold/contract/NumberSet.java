package io.fivefold.contract;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/**
 * The numbers that a field allows, exactly: members of an enumeration, or an interval of its dtype's numbers. Integers
 * are Long or BigInteger, floats are those of the dtype; the two are compared exactly. Null and NaN are none of them.
 */
final class NumberSet {
  private static final Number[] NICE = {0L, 1L, 0.5, -1L, 0.1, 1.5};

  private final Field field;
  private final boolean isFloat;
  final Number least;
  final Number most;
  final Number low;
  final Number high;
  /** The members that the other keywords allow, and all of them; null without an enumeration. */
  private final List<Number> members;
  private final List<Number> all;

  NumberSet(Field field) {
    this.field = field;
    isFloat = field.kind == Kind.FLOAT;
    least = field.dtype().least;
    most = field.dtype().most;
    low = field.low != null && Numbers.compare(field.low, least) > 0 ? field.low : least;
    high = field.high != null && Numbers.compare(field.high, most) < 0 ? field.high : most;
    all = new ArrayList<>();
    members = field.members == null ? null : new ArrayList<>();
    if (members == null) return;
    for (Object each : field.members) {
      all.add((Number) each);
      if (Numbers.compare(low, (Number) each) <= 0 && Numbers.compare((Number) each, high) <= 0) {
        members.add((Number) each);
      }
    }
  }

  boolean empty() {
    return Numbers.compare(low, high) > 0 || members != null && members.isEmpty();
  }

  /** Whether the dtype has no such number. */
  boolean changes(Number value) {
    if (isFloat) return Numbers.compare(own(value), value) != 0;
    boolean whole = !(value instanceof Double) || Numbers.integral((Double) value);
    return !whole || Numbers.compare(value, least) < 0 || Numbers.compare(value, most) > 0;
  }

  /** Whether the field's minimum refuses the number, once it is one of the dtype. */
  boolean isBelow(Number value) {
    return field.minimum != null && Numbers.compare(cast(value), low) < 0;
  }

  boolean isAbove(Number value) {
    return field.maximum != null && Numbers.compare(cast(value), high) > 0;
  }

  boolean isNoMember(Number value) {
    return members != null && !knows(cast(value));
  }

  /**
   * Whether a number of this set is refused, by a question of {@code other}'s. The candidates hold one wherever it
   * does.
   */
  boolean has(Inclusion.Aspect aspect, Predicate<Number> refuses, NumberSet other) {
    if (members != null) {
      for (Number value : members) if (refuses.test(value)) return true;
      return false;
    }
    for (Number value : candidates(aspect, other)) if (holds(value) && refuses.test(value)) return true;
    return false;
  }

  private Number cast(Number value) {
    return isFloat ? own(value) : value;
  }

  private boolean knows(Number value) {
    for (Number each : all) if (Numbers.compare(each, value) == 0) return true;
    return false;
  }

  private boolean holds(Number value) {
    if (Numbers.compare(value, low) < 0 || Numbers.compare(value, high) > 0) return false;
    return !changes(value) && (members == null || knows(value));
  }

  private List<Number> candidates(Inclusion.Aspect aspect, NumberSet other) {
    List<Number> out = new ArrayList<>();
    switch (aspect) {
      case MINIMUM:
        out.add(own(plus(other.low, -1)));
        out.add(own(rounded(other.low, RoundingMode.FLOOR)));
        out.add(low);
        return out;
      case MAXIMUM:
        out.add(own(plus(other.high, 1)));
        out.add(own(rounded(other.high, RoundingMode.CEILING)));
        out.add(high);
        return out;
      case ENUM:
        first(other, out);
        return out;
      default:
        ofNoDtype(other, out);
        return out;
    }
  }

  /** The number as one of this dtype, which may be another. */
  private Number own(Number value) {
    if (isFloat) return Numbers.narrow(field.dtype(), value.doubleValue());
    if (!(value instanceof Double)) return value;
    return Numbers.finite((Double) value) ? rounded(value, RoundingMode.FLOOR) : low;
  }

  /** More numbers than the other has members, counted in this dtype and in the other's. */
  private void first(NumberSet other, List<Number> out) {
    for (Number value : NICE) out.add(own(value));
    for (NumberSet counting : new NumberSet[] {this, other}) {
      Number value = counting.own(low);
      for (int count = 0; count < (other.members == null ? 0 : other.members.size()) + 2; count++) {
        out.add(own(value));
        value = counting.next(value);
      }
    }
  }

  /** Numbers of this interval, among which is one that the other dtype lacks if it lacks any. */
  private void ofNoDtype(NumberSet other, List<Number> out) {
    for (Number value : NICE) out.add(own(value));
    if (isFloat) {
      // Floats are finest next to zero: if two neighbours there are whole, or fit a narrower dtype, all do.
      double nearest = Math.min(Math.max(low.doubleValue(), 0), high.doubleValue());
      out.add(nearest);
      out.add(next(nearest));
      out.add(-next(-nearest).doubleValue());
      out.add(low);
      out.add(high);
      return;
    }
    // Of the integers that a float dtype lacks those next to 2^digits come first, and beyond it is every odd one.
    if (other.isFloat) {
      BigInteger fine = BigInteger.ONE.shiftLeft(digits(other.field.dtype()));
      out.add(Numbers.integer(fine.add(BigInteger.ONE)));
      out.add(Numbers.integer(fine.add(BigInteger.ONE).negate()));
    } else {
      out.add(plus(other.most, 1));
      out.add(plus(other.least, -1));
    }
    out.add(low);
    out.add(plus(low, 1));
    out.add(high);
    out.add(plus(high, -1));
  }

  private static int digits(Dtype dtype) {
    return dtype == Dtype.FLOAT16 ? 11 : dtype == Dtype.FLOAT32 ? 24 : 53;
  }

  private Number next(Number value) {
    return isFloat ? (Number) following(field.dtype(), value.doubleValue()) : plus(value, 1);
  }

  private static Number plus(Number value, int step) {
    if (value instanceof Double) return (Double) value + step;
    return Numbers.integer(Numbers.big(value).add(BigInteger.valueOf(step)));
  }

  private static Number rounded(Number value, RoundingMode mode) {
    if (!(value instanceof Double)) return value;
    return Numbers.integer(new BigDecimal((Double) value).setScale(0, mode).toBigInteger());
  }

  /** The next larger number of a float dtype. */
  private static double following(Dtype dtype, double value) {
    if (dtype == Dtype.FLOAT64) return Math.nextUp(value);
    if (dtype == Dtype.FLOAT32) return Math.nextUp((float) value);
    if (value == 0) return Math.scalb(1.0, -24);
    return Numbers.fromHalf((short) (Numbers.toHalf(value) + (value > 0 ? 1 : -1)));
  }
}
