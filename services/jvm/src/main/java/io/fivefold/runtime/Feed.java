package io.fivefold.runtime;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.TensorInfo;
import io.fivefold.contract.Column;
import io.fivefold.contract.Columns;
import io.fivefold.contract.ContractException;
import io.fivefold.contract.Dtype;
import io.fivefold.contract.Field;
import io.fivefold.contract.Kind;
import io.fivefold.contract.NotRunnableException;
import io.fivefold.contract.Numbers;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** How one input of the model is fed: columns of the contract as a tensor of its own type and shape, by the binding. */
final class Feed {
  private final Binding.Input item;
  private final List<Field> fields;
  private final long[] row;
  /** Elements of the model's input in a row. */
  private final int width;

  /** Throws {@link io.fivefold.contract.BundleInvalidException} where binding and model disagree. */
  Feed(Binding.Input item, List<Field> fields, TensorInfo declared, String where) {
    this.item = item;
    this.fields = fields;
    Dtype dtype = Tensors.dtype(declared);
    if (dtype == null) {
      String message = "ONNX Runtime for Java has no values for the model's input " + quoted(item.modelInput);
      throw new NotRunnableException(where + ".dtype: " + message, Manifest.FILE);
    }
    if (dtype != item.dtype) {
      throw Manifest.refused(where + ".dtype: the model's input is " + dtype + ", the binding says " + item.dtype);
    }
    long[] model = rowShape(declared.getShape(), where);
    row = item.stack ? stacked(model, where) : alone(model, fields.get(0), where);
    int product = 1;
    for (long size : row) product *= (int) size;
    width = product;
  }

  private long[] rowShape(long[] shape, String where) {
    String what = where + ".model_input: the input " + quoted(item.modelInput);
    if (shape.length == 0) throw Manifest.refused(what + " has no dimension for rows");
    if (shape[0] > 0) throw Manifest.refused(what + " takes " + shape[0] + " rows only");
    return Arrays.copyOfRange(shape, 1, shape.length);
  }

  private long[] stacked(long[] model, String where) {
    if (model.length == 1 && (model[0] <= 0 || model[0] == fields.size())) return new long[] {fields.size()};
    throw disagree(model, "the binding stacks " + fields.size(), where);
  }

  /** The shape of one field's row: as it is, or with other sizes of 1, which are only spelling. */
  private long[] alone(long[] model, Field field, String where) {
    int[] own = field.shape();
    boolean fits = model.length == own.length;
    for (int axis = 0; axis < model.length && fits; axis++) fits = model[axis] <= 0 || model[axis] == own[axis];
    long[] wide = new long[own.length];
    for (int axis = 0; axis < own.length; axis++) wide[axis] = own[axis];
    if (fits) return wide;
    long[] filled = model.clone();
    for (int axis = 0; axis < filled.length; axis++) filled[axis] = Math.max(filled[axis], 1);
    if (core(filled, 0).equals(core(wide, 0))) return filled;
    throw disagree(model, quoted(field.name()) + " is " + Arrays.toString(own), where);
  }

  private RuntimeException disagree(long[] model, String other, String where) {
    return Manifest.refused(where + ".fields: the model's input takes " + Arrays.toString(model) + " a row, " + other);
  }

  /** A shape without its sizes of 1, from an axis on. */
  static List<Long> core(long[] shape, int from) {
    List<Long> out = new ArrayList<>();
    for (int axis = from; axis < shape.length; axis++) if (shape[axis] != 1) out.add(shape[axis]);
    return out;
  }

  private static String quoted(String name) {
    return "'" + name + "'";
  }

  String name() {
    return item.modelInput;
  }

  /** The tensor for at least one row; the caller closes it. */
  OnnxTensor tensor(OrtEnvironment env, Columns columns) throws OrtException {
    int rows = columns.rows();
    int count = Math.multiplyExact(rows, width);
    Object data;
    if (item.dtype == Dtype.STRING) data = new String[count];
    else if (item.dtype.kind() == Kind.FLOAT) data = new double[count];
    else data = new long[count];
    for (int index = 0; index < fields.size(); index++) {
      fill(data, columns.column(fields.get(index).name()), item.stack ? index : 0, item.stack ? width : 1);
    }
    if (data instanceof double[]) checkFinite((double[]) data);
    long[] shape = new long[row.length + 1];
    shape[0] = rows;
    System.arraycopy(row, 0, shape, 1, row.length);
    return Tensors.made(env, item.dtype, data, shape);
  }

  /** Put values into every {@code step}-th place; null reaches a float as NaN, text as the binding's word. */
  private void fill(Object data, Column column, int from, int step) {
    for (int at = 0; at < column.count(); at++) {
      int place = from + at * step;
      Object value = column.value(at);
      if (data instanceof double[]) {
        double number = value instanceof Boolean ? bit(value) : ((Number) value).doubleValue();
        ((double[]) data)[place] = column.isNull(at) ? Double.NaN : number;
      } else if (data instanceof long[]) {
        ((long[]) data)[place] = value instanceof Boolean ? bit(value) : ((Number) value).longValue();
      } else {
        boolean none = column.isNull(at) && item.none != null;
        ((String[]) data)[place] = Texts.sent(none ? item.none : (String) value, () -> path(place));
      }
    }
  }

  private static long bit(Object value) {
    return (Boolean) value ? 1 : 0;
  }

  /** Refuse a number that only the model's type cannot hold: passed on as infinity it would be answered wrongly. */
  private void checkFinite(double[] data) {
    if (item.dtype == Dtype.FLOAT64) return;
    for (int at = 0; at < data.length; at++) {
      double held = Numbers.narrow(item.dtype, data[at]);
      if (!Double.isInfinite(held) || Double.isInfinite(data[at])) continue;
      String message = "expected a number that fits the model's own " + item.dtype + ", got " + data[at];
      throw new ContractException("out_of_range", message, path(at), null);
    }
  }

  private String path(int at) {
    Field field = item.stack ? fields.get(at % width) : fields.get(0);
    StringBuilder out = new StringBuilder();
    int[] shape = item.stack ? new int[0] : field.shape();
    int left = at % width;
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      out.insert(0, "[" + left % shape[axis] + "]");
      left /= shape[axis];
    }
    return "inputs." + field.name() + "[" + at / width + "]" + out;
  }
}
