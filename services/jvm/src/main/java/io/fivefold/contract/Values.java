package io.fivefold.contract;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * What values a field allows: the range of its dtype, bounds, enumeration, lengths, pattern. Every reader hands its
 * values here, so that a value is accepted or refused alike whatever it came in. A check gives the value, or null after
 * reporting.
 */
final class Values {
  private Values() {}

  /** Where a value stands: field, row, and element in row-major order (-1: the row's whole value). */
  static final class Place {
    final Findings findings;
    final int index;
    final int row;
    final int element;
    final Field field;

    Place(Findings findings, int index, int row, int element) {
      this.findings = findings;
      this.index = index;
      this.row = row;
      this.element = element;
      field = findings.fields.get(index);
    }

    <T> T refuse(String code, Supplier<String> message) {
      findings.cell(code, index, row, element, message);
      return null;
    }

    <T> T refuse(String code, Supplier<String> message, Supplier<String> help) {
      findings.cell(code, index, row, element, message, help);
      return null;
    }
  }

  /** What a scalar of the field is, as a message says it. */
  static String expected(Field field) {
    switch (field.kind) {
      case BOOL:
        return "true or false";
      case INT:
        return "an integer";
      case FLOAT:
        return "a number";
      case STRING:
        return "a string";
      default:
        return "base64 text";
    }
  }

  /**
   * A binary64 number as a value of a float field. {@code json} says that it came as JSON, which has no infinities:
   * there an infinite one is a number beyond binary64. {@code shown} is how it came.
   */
  static Double checkFloat(Place place, double wide, boolean json, Supplier<String> shown) {
    Field field = place.field;
    double value = Numbers.narrow(field.dtype(), wide);
    if (Numbers.finite(value)) return checkBounds(place, value, shown);
    if (Double.isNaN(value) && field.nullable()) return value;
    if (Numbers.finite(wide) || json && !Double.isNaN(wide)) {
      String got = Numbers.finite(wide) ? Numbers.shownFloat(wide) : "one beyond binary64";
      String wanted = "expected " + expected(field) + " that fits " + field.dtype();
      return place.refuse("out_of_range", () -> wanted + ", got " + got);
    }
    if (!field.allowNan) {
      return place.refuse("not_finite", () -> "expected a finite number, got " + Numbers.shownFloat(wide));
    }
    return Double.isNaN(value) ? (Double) value : checkBounds(place, value, shown);
  }

  /** An integer, or an infinity, as a value of an integer field. */
  static Number checkInteger(Place place, Number value, Supplier<String> shown) {
    Field field = place.field;
    Dtype dtype = field.dtype();
    if (Numbers.compare(value, dtype.least) < 0 || Numbers.compare(value, dtype.most) > 0) {
      String article = dtype.toString().startsWith("i") ? "an " : "a ";
      return place.refuse("out_of_range", () -> "expected " + article + dtype + ", got " + shown.get());
    }
    return field.isNull(value) ? value : checkBounds(place, value, shown);
  }

  private static <T extends Number> T checkBounds(Place place, T value, Supplier<String> shown) {
    Field field = place.field;
    if (field.low != null && Numbers.compare(value, field.low) < 0) {
      return place.refuse("out_of_range", () -> limit(field, "at least", field.minimum) + ", got " + shown.get());
    }
    if (field.high != null && Numbers.compare(value, field.high) > 0) {
      return place.refuse("out_of_range", () -> limit(field, "at most", field.maximum) + ", got " + shown.get());
    }
    if (!field.isMember(value)) return place.refuse("not_in_enum", () -> oneOf(field) + ", got " + shown.get());
    return value;
  }

  /** Text or bytes as a value of such a field. */
  static Object checkText(Place place, Object value) {
    Field field = place.field;
    boolean text = value instanceof String;
    if (text && !Text.wellFormed((String) value)) {
      return place.refuse("not_utf8", () -> "expected valid UTF-8, got a lone surrogate");
    }
    if (field.isNull(value)) return value;
    if (!field.isMember(value)) {
      Supplier<String> help = () -> Suggestion.nearest((String) value, words(field));
      return place.refuse("not_in_enum", () -> oneOf(field) + ", got " + Findings.describe(value), help);
    }
    if (field.minLength != null || field.maxLength != null) {
      int length = text ? Text.codePoints((String) value) : ((byte[]) value).length;
      String unit = text ? " code points, got " : " bytes, got ";
      if (field.minLength != null && length < field.minLength) {
        return place.refuse("too_short", () -> "expected at least " + field.minLength + unit + length);
      }
      if (field.maxLength != null && length > field.maxLength) {
        return place.refuse("too_long", () -> "expected at most " + field.maxLength + unit + length);
      }
    }
    if (field.pattern != null && !field.pattern.matches((String) value)) {
      return place.refuse(
          "pattern_mismatch", () -> "expected a match of " + field.pattern.text + ", got " + Findings.describe(value));
    }
    return value;
  }

  private static List<String> words(Field field) {
    List<String> out = new ArrayList<>();
    for (Object each : field.given) out.add((String) each);
    return out;
  }

  /** The integer that a number is, the infinity as it is, or null where it has a fraction. */
  static Number whole(Object number) {
    if (Numbers.isInteger(number)) return (Number) number;
    if (!(number instanceof Literal)) return null;
    Literal literal = (Literal) number;
    return Numbers.finite(literal.value) ? literal.whole() : (Number) literal.value;
  }

  /** A number of JSON as binary64. */
  static double wide(Object number) {
    return number instanceof Literal ? ((Literal) number).value : ((Number) number).doubleValue();
  }

  static boolean isNumber(Object value) {
    return value instanceof Number || value instanceof Literal;
  }

  private static String limit(Field field, String word, Object bound) {
    String unit = field.unit() == null ? "" : " " + field.unit();
    return "expected " + expected(field) + " of " + word + " " + Findings.describe(bound) + unit;
  }

  private static String oneOf(Field field) {
    StringBuilder out = new StringBuilder("expected one of ");
    for (int at = 0; at < Math.min(6, field.given.size()); at++) {
      out.append(at == 0 ? "" : ", ").append(Findings.describe(field.given.get(at)));
    }
    return out + (field.given.size() > 6 ? ", …" : "");
  }
}
