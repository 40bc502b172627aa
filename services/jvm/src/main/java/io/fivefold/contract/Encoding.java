package io.fivefold.contract;

import java.util.List;
import java.util.Map;

/**
 * Columns as the JSON of the server's answers, byte for byte: integers exactly, floats by their shortest digits with a
 * fraction or an exponent, bytes as base64, null for null.
 */
public final class Encoding {
  private Encoding() {}

  /** The rows as a JSON array of objects, fields in contract order: the server's {@code predictions}. */
  public static String rows(Columns columns) {
    StringBuilder out = new StringBuilder("[");
    for (int row = 0; row < columns.rows(); row++) {
      out.append(row == 0 ? "{" : ",{");
      String comma = "";
      for (Field field : columns.fields()) {
        out.append(comma).append(Text.json(field.name())).append(':');
        value(out, columns.column(field.name()), row);
        comma = ",";
      }
      out.append('}');
    }
    return out.append(']').toString();
  }

  /** A whole V1 answer: rows, or columns where the request came by column, and the metadata behind them. */
  public static String answer(Columns columns, boolean byColumn, Map<String, String> metadata) {
    StringBuilder out = new StringBuilder("{");
    if (byColumn) byColumn(out.append("\"outputs\":"), columns);
    else out.append("\"predictions\":").append(rows(columns));
    out.append(",\"metadata\":{");
    String comma = "";
    for (Map.Entry<String, String> each : metadata.entrySet()) {
      out.append(comma).append(Text.json(each.getKey())).append(':').append(Text.json(each.getValue()));
      comma = ",";
    }
    return out.append("}}").toString();
  }

  /** An array for each output; as TensorFlow Serving has it, the array alone where there is one output. */
  private static void byColumn(StringBuilder out, Columns columns) {
    List<Field> fields = columns.fields();
    String comma = "";
    out.append(fields.size() == 1 ? "" : "{");
    for (Field field : fields) {
      out.append(comma);
      if (fields.size() > 1) out.append(Text.json(field.name())).append(':');
      out.append('[');
      for (int row = 0; row < columns.rows(); row++) {
        value(out.append(row == 0 ? "" : ","), columns.column(field.name()), row);
      }
      out.append(']');
      comma = ",";
    }
    out.append(fields.size() == 1 ? "" : "}");
  }

  /** A row's value, nested by the field's shape. */
  private static void value(StringBuilder out, Column column, int row) {
    nested(out, column, row * column.field.size, 0);
  }

  private static void nested(StringBuilder out, Column column, int at, int axis) {
    int[] shape = column.field.shape;
    if (axis == shape.length) {
      out.append(scalar(column, at));
      return;
    }
    int step = 1;
    for (int inner = axis + 1; inner < shape.length; inner++) step *= shape[inner];
    out.append('[');
    for (int index = 0; index < shape[axis]; index++) {
      nested(out.append(index == 0 ? "" : ","), column, at + index * step, axis + 1);
    }
    out.append(']');
  }

  private static String scalar(Column column, int at) {
    if (column.isNull(at)) return "null";
    Object value = column.value(at);
    if (value instanceof Double) return Numbers.finite((Double) value) ? Numbers.jsonFloat((Double) value) : "null";
    if (value instanceof String) return Text.json((String) value);
    return value instanceof byte[] ? "\"" + Text.toBase64((byte[]) value) + "\"" : value.toString();
  }
}
