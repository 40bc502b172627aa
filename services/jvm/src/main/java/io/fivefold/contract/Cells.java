package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * JSON values as cells of a field: what is wrong with a value's type and shape; everything else is for {@link Values}.
 */
final class Cells {
  private static final List<Object> ALL_NULL = new ArrayList<>();

  private Cells() {}

  /** Read the value of one row; nothing is kept where {@code into} is null, because the input is refused already. */
  static void readRow(Findings findings, int index, int row, Object value, Column into) {
    Field field = findings.fields.get(index);
    if (field.shape.length == 0) {
      readElement(findings, index, row, -1, value, into, row);
      return;
    }
    List<?> elements = elementsOf(findings, index, row, value);
    if (elements == null) return;
    for (int element = 0; element < field.size; element++) {
      Object item = elements == ALL_NULL ? null : elements.get(element);
      readElement(findings, index, row, element, item, into, row * field.size + element);
    }
  }

  /** What a row holds in an optional field that it does not give. */
  static Column defaultCell(List<Field> fields, int index) {
    Column cell = new Column(fields.get(index), 1);
    readRow(new Findings(fields, 1), index, 0, fields.get(index).otherwise, cell);
    return cell;
  }

  /** That default in every row. */
  static Column defaultColumn(List<Field> fields, int index, int rows) {
    Column column = new Column(fields.get(index), rows);
    Column cell = defaultCell(fields, index);
    for (int row = 0; row < rows; row++) column.putRow(row, cell);
    return column;
  }

  private static void readElement(
      Findings findings, int index, int row, int element, Object value, Column into, int at) {
    Values.Place place = new Values.Place(findings, index, row, element);
    Field field = place.field;
    Object bare = field.kind == Kind.BYTES && isWrapped(value) ? unwrapped(value) : value;
    if (bare == null) {
      if (field.nullable() && into != null) into.putNull(at);
      if (!field.nullable()) {
        place.refuse("null_not_allowed", () -> "expected " + Values.expected(field) + ", got null");
      }
      return;
    }
    Object checked = readScalar(place, field, bare);
    if (checked != null && into != null) into.put(at, checked);
  }

  private static Object readScalar(Values.Place place, Field field, Object value) {
    if (value instanceof List) return place.refuse("wrong_shape", refusal(field, value));
    switch (field.kind) {
      case BOOL:
        if (value instanceof Boolean) return value;
        break;
      case FLOAT:
        if (!Values.isNumber(value)) break;
        double wide = Values.wide(value);
        return Values.checkFloat(place, wide, true, () -> Numbers.shownFloat(wide));
      case INT:
        Number exact = Values.isNumber(value) ? Values.whole(value) : null;
        if (exact == null) break;
        return Values.checkInteger(place, exact, () -> Findings.describe(exact));
      case STRING:
        if (value instanceof String) return Values.checkText(place, value);
        break;
      default:
        byte[] bytes = value instanceof String ? Text.fromBase64((String) value) : null;
        if (bytes != null) return Values.checkText(place, bytes);
    }
    return place.refuse("wrong_type", refusal(field, value));
  }

  private static Supplier<String> refusal(Field field, Object value) {
    return () -> "expected " + Values.expected(field) + ", got " + got(field, value);
  }

  private static String got(Field field, Object value) {
    if (!(value instanceof String)) return Findings.describe(value);
    return (field.kind == Kind.BYTES ? "other text:" : "the string") + " " + Findings.describe(value);
  }

  /** Whether a value is {@code {"b64": "…"}}, as TensorFlow Serving's clients spell bytes in JSON. */
  static boolean isWrapped(Object value) {
    return value instanceof Map && ((Map<?, ?>) value).size() == 1 && unwrapped(value) instanceof String;
  }

  static Object unwrapped(Object value) {
    return ((Map<?, ?>) value).get("b64");
  }

  /** A row's value as a flat list of its elements, {@code ALL_NULL} for null, or null when it was refused. */
  private static List<?> elementsOf(Findings findings, int index, int row, Object value) {
    Field field = findings.fields.get(index);
    String wanted = "expected an array of shape " + sizes(field.shape) + ", got ";
    if (value == null) {
      if (field.nullable()) return ALL_NULL;
      findings.cell("null_not_allowed", index, row, -1, () -> wanted + "null");
      return null;
    }
    if (!(value instanceof List)) {
      String code = isRight(field, value) ? "wrong_shape" : "wrong_type";
      findings.cell(code, index, row, -1, () -> wanted + got(field, value));
      return null;
    }
    List<?> flat = flatten((List<?>) value, field);
    if (flat == null) findings.cell("wrong_shape", index, row, -1, () -> wanted + "one of shape " + shapeOf(value));
    return flat;
  }

  /** Whether a scalar is of the field's kind. */
  private static boolean isRight(Field field, Object value) {
    switch (field.kind) {
      case BOOL:
        return value instanceof Boolean;
      case FLOAT:
        return Values.isNumber(value);
      case INT:
        return Values.isNumber(value) && Values.whole(value) != null;
      case STRING:
        return value instanceof String;
      default:
        Object text = isWrapped(value) ? unwrapped(value) : value;
        return text instanceof String && Text.fromBase64((String) text) != null;
    }
  }

  /** The elements of a value nested exactly as the shape, or flat with as many elements; null for anything else. */
  private static List<?> flatten(List<?> value, Field field) {
    if (!holdsArrays(value)) return value.size() == field.size ? value : null;
    List<Object> level = Collections.<Object>singletonList(value);
    for (int size : field.shape) {
      List<Object> following = new ArrayList<>();
      for (Object item : level) {
        if (!(item instanceof List) || ((List<?>) item).size() != size) return null;
        following.addAll((List<?>) item);
      }
      level = following;
    }
    return holdsArrays(level) ? null : level;
  }

  private static boolean holdsArrays(List<?> value) {
    for (Object each : value) if (each instanceof List) return true;
    return false;
  }

  static String sizes(int[] shape) {
    StringBuilder out = new StringBuilder("[");
    for (int at = 0; at < shape.length; at++) out.append(at == 0 ? "" : ", ").append(shape[at]);
    return out.append(']').toString();
  }

  private static String shapeOf(Object value) {
    StringBuilder out = new StringBuilder("[");
    while (value instanceof List) {
      List<?> list = (List<?>) value;
      out.append(out.length() == 1 ? "" : ", ").append(list.size());
      value = list.isEmpty() ? null : list.get(0);
    }
    return out.append(']').toString();
  }
}
