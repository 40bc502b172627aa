package io.fivefold.contract;

import java.math.BigInteger;

/** The types of a field's elements, by the contract's names. */
public enum Dtype {
  BOOL("bool", Kind.BOOL, null, null),
  INT8("int8", Kind.INT, -128L, 127L),
  INT16("int16", Kind.INT, -32768L, 32767L),
  INT32("int32", Kind.INT, -2147483648L, 2147483647L),
  INT64("int64", Kind.INT, Long.MIN_VALUE, Long.MAX_VALUE),
  UINT8("uint8", Kind.INT, 0L, 255L),
  UINT16("uint16", Kind.INT, 0L, 65535L),
  UINT32("uint32", Kind.INT, 0L, 4294967295L),
  UINT64("uint64", Kind.INT, 0L, BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE)),
  FLOAT16("float16", Kind.FLOAT, -65504.0, 65504.0),
  FLOAT32("float32", Kind.FLOAT, -(double) Float.MAX_VALUE, (double) Float.MAX_VALUE),
  FLOAT64("float64", Kind.FLOAT, -Double.MAX_VALUE, Double.MAX_VALUE),
  STRING("string", Kind.STRING, null, null),
  BYTES("bytes", Kind.BYTES, null, null);

  private final String text;
  private final Kind kind;
  /** The smallest and the largest number: Long or BigInteger, or Double; null where there are no numbers. */
  final Number least;
  final Number most;

  Dtype(String text, Kind kind, Number least, Number most) {
    this.text = text;
    this.kind = kind;
    this.least = least;
    this.most = most;
  }

  public Kind kind() {
    return kind;
  }

  /** Whether values are numbers. */
  public boolean numeric() {
    return kind == Kind.INT || kind == Kind.FLOAT;
  }

  /** The contract's name of it. */
  @Override
  public String toString() {
    return text;
  }

  /** The dtype of that name, or null. */
  public static Dtype of(String text) {
    for (Dtype each : values()) {
      if (each.text.equals(text)) return each;
    }
    return null;
  }
}
