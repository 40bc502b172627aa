package io.fivefold.contract;

import java.math.BigDecimal;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** What a model answered, held against the contract's outputs: values decide, as they do on the way in. */
final class Outputs {
  private Outputs() {}

  /**
   * A model's answer as columns under the contract's outputs; throws {@link ModelFailedException} where it leaves them.
   */
  static Columns check(List<Field> fields, Map<String, ModelTensor> answer, int rows) {
    Findings findings = new Findings(fields, rows, "outputs");
    List<Column> columns = new ArrayList<>();
    for (int index = 0; index < fields.size(); index++) {
      Field field = fields.get(index);
      ModelTensor tensor = answer.get(field.name());
      refuseForm(field, tensor, rows);
      Column column = new Column(field, rows);
      for (int at = 0; at < tensor.count; at++) {
        int element = field.shape.length == 0 ? -1 : at % field.size;
        Object checked = one(new Values.Place(findings, index, at / field.size, element), tensor, tensor.value(at));
        if (checked != null) column.set(at, checked);
      }
      columns.add(column);
    }
    if (findings.any()) {
      Violation first = findings.ordered().get(0);
      throw new ModelFailedException("the model left its contract: " + first.message(), first.path());
    }
    // A model's answer has no mask: there a value equal to `null_value` is null.
    for (Column column : columns) column.readNulls();
    return new Columns(fields, columns, rows);
  }

  private static void refuseForm(Field field, ModelTensor tensor, int rows) {
    String path = "outputs." + field.name();
    if (tensor == null) throw new ModelFailedException("the model gave no such output", path);
    long[] wanted = new long[field.shape.length + 1];
    wanted[0] = rows;
    for (int axis = 0; axis < field.shape.length; axis++) wanted[axis + 1] = field.shape[axis];
    if (!Arrays.equals(wanted, tensor.shape) || tensor.count != (long) rows * field.size) {
      String got = " from the model, got " + Arrays.toString(tensor.shape);
      String message = "expected shape " + Arrays.toString(wanted) + got;
      throw new ModelFailedException(message, path);
    }
    Kind from = tensor.dtype.kind();
    boolean text = field.kind == Kind.STRING && from == Kind.BYTES;
    boolean number = field.dtype().numeric() && tensor.dtype.numeric();
    if (from != field.kind && !text && !number) {
      throw new ModelFailedException("expected " + field.dtype() + " from the model, got " + tensor.dtype, path);
    }
  }

  private static Object one(Values.Place place, ModelTensor tensor, Object value) {
    Supplier<String> shown = () -> Findings.describe(value);
    switch (place.field.kind) {
      case BOOL:
        return value;
      case FLOAT:
        return Values.checkFloat(place, ((Number) value).doubleValue(), false, shown);
      case INT:
        if (!(value instanceof Double)) return Values.checkInteger(place, (Number) value, shown);
        double wide = (Double) value;
        if (!Numbers.finite(wide)) return place.refuse("not_finite", () -> "expected an integer, got " + shown.get());
        if (!Numbers.integral(wide)) return place.refuse("wrong_type", () -> "expected an integer, got " + shown.get());
        return Values.checkInteger(place, Numbers.integer(new BigDecimal(wide).toBigInteger()), shown);
      case STRING:
        return Values.checkText(place, value instanceof byte[] ? decoded((byte[]) value) : value);
      default:
        return Values.checkText(place, value);
    }
  }

  /** Bytes as text; what is no UTF-8 becomes text that is none either, for the check to report. */
  private static String decoded(byte[] bytes) {
    try {
      return Text.decoded(bytes);
    } catch (CharacterCodingException error) {
      return "\ud800";
    }
  }
}
