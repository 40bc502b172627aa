package io.fivefold.contract;

import java.math.BigDecimal;
import java.math.BigInteger;

/**
 * A JSON number with a fraction or an exponent that is integral all the same ({@code 3.0}), at least 2^53, or beyond
 * binary64. Other integers are Long or BigInteger, other floats Double: only these need telling apart.
 */
final class Literal {
  final double value;
  /** What stood there, where it may be more exact than {@code value}; or null. */
  final String text;

  Literal(double value, String text) {
    this.value = value;
    this.text = text;
  }

  /** The integer that is meant: by the text, where that is one, else by its binary64 value. Finite values only. */
  Number whole() {
    if (text != null) {
      BigDecimal exact = new BigDecimal(text);
      // A finite value has at most 309 places before the point, so that this is no large number.
      if (exact.signum() == 0) return 0L;
      BigDecimal stripped = exact.stripTrailingZeros();
      if (stripped.scale() <= 0) return Numbers.integer(stripped.toBigIntegerExact());
    }
    BigInteger rounded = new BigDecimal(value).toBigInteger();
    return Numbers.integer(rounded);
  }
}
