package io.fivefold.contract;

import java.util.Arrays;

/**
 * What a model gave for one output: flat data of shape [rows, …], in row-major order.
 *
 * {@code data} is boolean[] for bool, long[] for integers (uint64: their 64 bits), double[] for floats, String[] for
 * text, byte[][] for bytes or for text in UTF-8.
 */
public final class ModelTensor {
  final Dtype dtype;
  final long[] shape;
  final Object data;
  final int count;

  public ModelTensor(Dtype dtype, long[] shape, Object data) {
    this.dtype = dtype;
    this.shape = shape.clone();
    this.data = data;
    switch (dtype.kind()) {
      case BOOL:
        count = ((boolean[]) data).length;
        break;
      case INT:
        count = ((long[]) data).length;
        break;
      case FLOAT:
        count = ((double[]) data).length;
        break;
      default:
        count = ((Object[]) data).length;
    }
  }

  /** No rows of a dtype. */
  public static ModelTensor empty(Dtype dtype, long[] shape) {
    switch (dtype.kind()) {
      case BOOL:
        return new ModelTensor(dtype, shape, new boolean[0]);
      case INT:
        return new ModelTensor(dtype, shape, new long[0]);
      case FLOAT:
        return new ModelTensor(dtype, shape, new double[0]);
      default:
        return new ModelTensor(dtype, shape, new String[0]);
    }
  }

  public long[] shape() {
    return shape.clone();
  }

  /** The same values under another shape. */
  public ModelTensor reshaped(long[] other) {
    return new ModelTensor(dtype, other, data);
  }

  /** One column of a tensor of two dimensions. */
  public ModelTensor column(int index) {
    int rows = (int) shape[0];
    int width = (int) shape[1];
    ModelTensor out = new ModelTensor(dtype, new long[] {rows}, like(rows));
    for (int row = 0; row < rows; row++) System.arraycopy(data, row * width + index, out.data, row, 1);
    return out;
  }

  private Object like(int length) {
    switch (dtype.kind()) {
      case BOOL:
        return new boolean[length];
      case INT:
        return new long[length];
      case FLOAT:
        return new double[length];
      default:
        return Arrays.copyOf((Object[]) data, length);
    }
  }

  Object value(int at) {
    switch (dtype.kind()) {
      case BOOL:
        return ((boolean[]) data)[at];
      case INT:
        long integer = ((long[]) data)[at];
        return dtype == Dtype.UINT64 ? Column.unsigned(integer) : (Number) integer;
      case FLOAT:
        return ((double[]) data)[at];
      default:
        return ((Object[]) data)[at];
    }
  }
}
