package io.fivefold.contract;

import java.math.BigInteger;
import java.util.Arrays;

/**
 * One field's values, row after row in row-major order, and where they are null.
 *
 * Of the arrays one is there, by the field's kind: booleans; integers as longs (uint64: their 64 bits); floats as the
 * doubles of their own dtype; texts; bytes.
 */
public final class Column {
  final Field field;
  final int count;
  boolean[] booleans;
  long[] integers;
  double[] floats;
  String[] texts;
  byte[][] bytes;
  /** Where the values are null; null where the field has no null. */
  boolean[] nulls;

  /** Zeros or empty values for so many rows. */
  Column(Field field, int rows) {
    this.field = field;
    count = Math.multiplyExact(rows, field.size);
    nulls = field.nullable() ? new boolean[count] : null;
    switch (field.kind) {
      case BOOL:
        booleans = new boolean[count];
        break;
      case INT:
        integers = new long[count];
        break;
      case FLOAT:
        floats = new double[count];
        break;
      case STRING:
        texts = new String[count];
        Arrays.fill(texts, "");
        break;
      default:
        bytes = new byte[count][];
        Arrays.fill(bytes, new byte[0]);
    }
  }

  /** Elements: rows times those of one row. */
  public int count() {
    return count;
  }

  public boolean isNull(int at) {
    return nulls != null && nulls[at];
  }

  /** One value: Boolean, Long or BigInteger, Double, String or byte[]; where it is null, what stands for it. */
  public Object value(int at) {
    switch (field.kind) {
      case BOOL:
        return booleans[at];
      case INT:
        return field.dtype() == Dtype.UINT64 ? unsigned(integers[at]) : (Number) integers[at];
      case FLOAT:
        return floats[at];
      case STRING:
        return texts[at];
      default:
        return bytes[at];
    }
  }

  static Number unsigned(long bits) {
    if (bits >= 0) return bits;
    return Numbers.integer(BigInteger.valueOf(bits).add(BigInteger.ONE.shiftLeft(64)));
  }

  /** Put a checked value; one that equals the value for null is null, unless that is a legal one. */
  void put(int at, Object value) {
    set(at, value);
    if (nulls != null && !field.noneIsValue && field.isNull(value)) nulls[at] = true;
  }

  void putNull(int at) {
    set(at, field.none);
    nulls[at] = true;
  }

  void set(int at, Object value) {
    switch (field.kind) {
      case BOOL:
        booleans[at] = (Boolean) value;
        break;
      case INT:
        integers[at] = ((Number) value).longValue();
        break;
      case FLOAT:
        floats[at] = ((Number) value).doubleValue();
        break;
      case STRING:
        texts[at] = (String) value;
        break;
      default:
        bytes[at] = (byte[]) value;
    }
  }

  /** Copy the only row of another column of the same field. */
  void putRow(int row, Column source) {
    for (int element = 0; element < field.size; element++) {
      int at = row * field.size + element;
      set(at, source.value(element));
      if (nulls != null) nulls[at] = source.nulls[element];
    }
  }

  /** Take the nulls from the values, as an answer has them that came without a mask. */
  void readNulls() {
    if (nulls == null) return;
    for (int at = 0; at < count; at++) nulls[at] = field.isNull(value(at));
  }
}
