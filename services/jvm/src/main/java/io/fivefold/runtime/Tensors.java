package io.fivefold.runtime;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.TensorInfo;
import io.fivefold.contract.Dtype;
import io.fivefold.contract.ModelTensor;
import io.fivefold.contract.Numbers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;

/** ONNX Runtime's tensors from and to the values of columns. */
final class Tensors {
  private Tensors() {}

  /** The dtype of a tensor of the model, or null where Java has no such values. */
  static Dtype dtype(TensorInfo info) {
    switch (info.onnxType) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
        return Dtype.BOOL;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
        return Dtype.INT8;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
        return Dtype.INT16;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
        return Dtype.INT32;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
        return Dtype.INT64;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
        return Dtype.UINT8;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
        return Dtype.FLOAT16;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
        return Dtype.FLOAT32;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
        return Dtype.FLOAT64;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING:
        return Dtype.STRING;
      default:
        return null;
    }
  }

  /** A tensor of numbers (double[], for floats), integers (long[], booleans as 0 and 1 too) or texts (String[]). */
  static OnnxTensor made(OrtEnvironment env, Dtype dtype, Object data, long[] shape) throws OrtException {
    if (dtype == Dtype.STRING) return OnnxTensor.createTensor(env, (String[]) data, shape);
    long[] integers = data instanceof long[] ? (long[]) data : null;
    double[] floats = data instanceof double[] ? (double[]) data : null;
    int count = integers == null ? floats.length : integers.length;
    ByteBuffer out = ByteBuffer.allocateDirect(Math.multiplyExact(count, width(dtype))).order(ByteOrder.nativeOrder());
    for (int at = 0; at < count; at++) {
      switch (dtype) {
        case INT16:
          out.putShort((short) integers[at]);
          break;
        case INT32:
          out.putInt((int) integers[at]);
          break;
        case INT64:
          out.putLong(integers[at]);
          break;
        case FLOAT16:
          out.putShort(Numbers.toHalf(floats[at]));
          break;
        case FLOAT32:
          out.putFloat((float) floats[at]);
          break;
        case FLOAT64:
          out.putDouble(floats[at]);
          break;
        default:
          out.put((byte) integers[at]);
      }
    }
    out.rewind();
    return OnnxTensor.createTensor(env, out, shape, javaType(dtype));
  }

  private static int width(Dtype dtype) {
    switch (dtype) {
      case INT64:
      case FLOAT64:
        return 8;
      case INT32:
      case FLOAT32:
        return 4;
      case INT16:
      case FLOAT16:
        return 2;
      default:
        return 1;
    }
  }

  private static OnnxJavaType javaType(Dtype dtype) {
    switch (dtype) {
      case FLOAT32:
        return OnnxJavaType.FLOAT;
      case FLOAT64:
        return OnnxJavaType.DOUBLE;
      default:
        return OnnxJavaType.valueOf(dtype.name());
    }
  }

  /** A tensor that the model gave, as the contract's check takes it; {@code path} is where it goes. */
  static ModelTensor taken(OnnxTensor tensor, String path) throws OrtException {
    TensorInfo info = tensor.getInfo();
    Dtype dtype = dtype(info);
    long[] shape = info.getShape();
    int count = 1;
    for (long size : shape) count = Math.multiplyExact(count, (int) size);
    switch (dtype.kind()) {
      case BOOL:
        boolean[] booleans = new boolean[count];
        ByteBuffer bits = tensor.getByteBuffer();
        for (int at = 0; at < count; at++) booleans[at] = bits.get(at) != 0;
        return new ModelTensor(dtype, shape, booleans);
      case INT:
        return new ModelTensor(dtype, shape, integers(tensor, dtype, count));
      case FLOAT:
        return new ModelTensor(dtype, shape, floats(tensor, dtype, count));
      default:
        String[] texts = texts(tensor.getValue(), count);
        Texts.refuseCut(texts, path);
        return new ModelTensor(dtype, shape, texts);
    }
  }

  private static long[] integers(OnnxTensor tensor, Dtype dtype, int count) {
    long[] out = new long[count];
    if (dtype == Dtype.INT64) {
      LongBuffer longs = tensor.getLongBuffer();
      longs.get(out);
      return out;
    }
    if (dtype == Dtype.INT32) {
      IntBuffer ints = tensor.getIntBuffer();
      for (int at = 0; at < count; at++) out[at] = ints.get(at);
      return out;
    }
    if (dtype == Dtype.INT16) {
      ShortBuffer shorts = tensor.getShortBuffer();
      for (int at = 0; at < count; at++) out[at] = shorts.get(at);
      return out;
    }
    ByteBuffer bytes = tensor.getByteBuffer();
    for (int at = 0; at < count; at++) out[at] = dtype == Dtype.UINT8 ? bytes.get(at) & 0xff : bytes.get(at);
    return out;
  }

  private static double[] floats(OnnxTensor tensor, Dtype dtype, int count) {
    double[] out = new double[count];
    if (dtype == Dtype.FLOAT64) {
      tensor.getDoubleBuffer().get(out);
      return out;
    }
    if (dtype == Dtype.FLOAT32) {
      FloatBuffer floats = tensor.getFloatBuffer();
      for (int at = 0; at < count; at++) out[at] = floats.get(at);
      return out;
    }
    ShortBuffer halves = tensor.getShortBuffer();
    for (int at = 0; at < count; at++) out[at] = Numbers.fromHalf(halves.get(at));
    return out;
  }

  /** Texts that ONNX Runtime nests by their shape, flat. */
  private static String[] texts(Object nested, int count) {
    String[] out = new String[count];
    int[] put = {0};
    flatten(nested, out, put);
    return out;
  }

  private static void flatten(Object nested, String[] out, int[] put) {
    if (nested instanceof Object[]) for (Object each : (Object[]) nested) flatten(each, out, put);
    else out[put[0]++] = (String) nested;
  }
}
