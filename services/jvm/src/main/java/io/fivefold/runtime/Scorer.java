package io.fivefold.runtime;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import io.fivefold.contract.BundleInvalidException;
import io.fivefold.contract.Columns;
import io.fivefold.contract.Encoding;
import io.fivefold.contract.Field;
import io.fivefold.contract.Limits;
import io.fivefold.contract.ModelFailedException;
import io.fivefold.contract.ModelTensor;
import io.fivefold.contract.NotRunnableException;
import io.fivefold.contract.Request;
import io.fivefold.contract.View;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A bundle's model on ONNX Runtime: the one place where it is called. Opening it proves that it gives its golden
 * answers on this device. Threads may share it; {@link #close} comes after the last call.
 */
public final class Scorer implements AutoCloseable {
  private final Bundle bundle;
  private final OrtEnvironment env;
  private final OrtSession session;
  private final List<Feed> feeds = new ArrayList<>();
  private double largest;

  private Scorer(Bundle bundle, OrtEnvironment env, OrtSession session) {
    this.bundle = bundle;
    this.env = env;
    this.session = session;
  }

  /**
   * Open a bundle's model with one thread, and score its golden rows; throws {@link BundleInvalidException}, and
   * {@link NotRunnableException} for what ONNX Runtime for Java cannot take or give.
   */
  public static Scorer open(Bundle bundle) {
    OrtEnvironment env = OrtEnvironment.getEnvironment();
    OrtSession session;
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      options.setInterOpNumThreads(1);
      options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL);
      options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
      // A model in memory looks for external weights in the working directory; a bundle has nothing outside itself.
      options.addConfigEntry("session.model_external_initializers_file_folder_path", "/nonexistent");
      session = env.createSession(bundle.file(Bundle.MODEL), options);
    } catch (OrtException error) {
      throw new BundleInvalidException("ONNX Runtime refuses the model: " + firstLine(error), Bundle.MODEL, null);
    }
    Scorer opened = new Scorer(bundle, env, session);
    try {
      opened.bind();
      opened.largest = new Golden(bundle).prove(opened);
      return opened;
    } catch (OrtException error) {
      opened.close();
      throw new BundleInvalidException("ONNX Runtime refuses the model: " + firstLine(error), Bundle.MODEL, null);
    } catch (RuntimeException error) {
      opened.close();
      throw error;
    }
  }

  private void bind() throws OrtException {
    for (Field field : bundle.contract().outputs()) Texts.refuseMembers(field);
    Map<String, Field> fields = new HashMap<>();
    for (Field field : bundle.contract().inputs()) fields.put(field.name(), field);
    Map<String, NodeInfo> declared = new LinkedHashMap<>(session.getInputInfo());
    List<Binding.Input> inputs = bundle.manifest.binding.inputs;
    for (int index = 0; index < inputs.size(); index++) {
      Binding.Input item = inputs.get(index);
      String where = "binding.inputs[" + index + "]";
      NodeInfo found = declared.remove(item.modelInput);
      if (found == null || !(found.getInfo() instanceof TensorInfo)) {
        throw Manifest.refused(where + ".model_input: the model has no tensor '" + item.modelInput + "'");
      }
      List<Field> own = new ArrayList<>();
      for (String name : item.fields) {
        if (!fields.containsKey(name)) {
          throw Manifest.refused(where + ".fields: the contract has no input '" + name + "'");
        }
        own.add(fields.get(name));
      }
      feeds.add(new Feed(item, own, (TensorInfo) found.getInfo(), where));
    }
    for (String left : declared.keySet()) {
      throw Manifest.refused("binding.inputs: the model's input '" + left + "' is not bound");
    }
    Map<String, NodeInfo> answered = session.getOutputInfo();
    List<Binding.Output> outputs = bundle.manifest.binding.outputs;
    for (int index = 0; index < outputs.size(); index++) {
      String where = "binding.outputs[" + index + "].model_output: ";
      String name = outputs.get(index).modelOutput;
      NodeInfo found = answered.get(name);
      if (found == null) throw Manifest.refused(where + "the model has no output '" + name + "'");
      boolean tensor = found.getInfo() instanceof TensorInfo;
      if (!tensor || Tensors.dtype((TensorInfo) found.getInfo()) == null) {
        String message = where + "ONNX Runtime for Java has no values for the model's output '" + name + "'";
        throw new NotRunnableException(message, Manifest.FILE);
      }
    }
  }

  public Bundle bundle() {
    return bundle;
  }

  /** How far the golden answers are from the recorded ones on this device: the largest difference of any float. */
  public double largestDifference() {
    return largest;
  }

  /**
   * Columns of the model's own inputs to columns of its outputs; throws {@link ModelFailedException}, and
   * {@link io.fivefold.contract.ContractException} for a number that only the model's own type cannot hold.
   */
  public Columns score(Columns columns) {
    int rows = columns.rows();
    return bundle.contract().checkOutputs(rows == 0 ? nothing() : run(columns, rows), rows);
  }

  /**
   * The answer to a V1 body under the bundle's default view, as the server writes it; throws
   * {@link io.fivefold.contract.FivefoldException}.
   */
  public String predict(String body) {
    return predict(body, bundle.view());
  }

  /** The answer to a V1 body under a view, at most {@link Limits#MAX_ROWS} rows. */
  public String predict(String body, View view) {
    return answer(view.contract().read(body, new Limits(Limits.MAX_ROWS, Limits.MAX_DEPTH)), view);
  }

  /** The answer to a request that was read under a view's contract. */
  public String answer(Request request, View view) {
    Columns answer = view.back(score(view.into(request.columns())));
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("model", bundle.name());
    metadata.put("version", bundle.version());
    metadata.put("bundle", bundle.digest());
    metadata.put("contract", view.name());
    metadata.put("transport", "jvm");
    return Encoding.answer(answer, request.byColumn(), metadata);
  }

  private Map<String, ModelTensor> run(Columns columns, int rows) {
    Map<String, OnnxTensor> given = new LinkedHashMap<>();
    try {
      for (Feed feed : feeds) given.put(feed.name(), feed.tensor(env, columns));
      try (OrtSession.Result result = session.run(given)) {
        Map<String, int[]> shapes = new HashMap<>();
        for (Field field : bundle.contract().outputs()) shapes.put(field.name(), field.shape());
        Map<String, ModelTensor> out = new HashMap<>();
        for (Binding.Output item : bundle.manifest.binding.outputs) {
          out.put(item.field, picked(result, item, rows, shapes.get(item.field)));
        }
        return out;
      }
    } catch (OrtException error) {
      String message = "the model '" + bundle.name() + "' failed on this input: " + firstLine(error);
      throw new ModelFailedException(message, "");
    } finally {
      for (OnnxTensor each : given.values()) each.close();
    }
  }

  /** An output as the contract has it: one column of it, or other sizes of 1, which are only spelling. */
  private static ModelTensor picked(OrtSession.Result result, Binding.Output item, int rows, int[] shape)
      throws OrtException {
    OnnxValue value = result.get(item.modelOutput).get();
    ModelTensor whole = Tensors.taken((OnnxTensor) value, "outputs." + item.field);
    long[] sizes = whole.shape();
    if (item.column >= 0) {
      if (sizes.length != 2 || sizes[0] != rows || item.column >= sizes[1]) {
        String message = "expected a column " + item.column + " from the model, got shape " + Arrays.toString(sizes);
        throw new ModelFailedException(message, "outputs." + item.field);
      }
      return whole.column(item.column);
    }
    long[] wanted = new long[shape.length + 1];
    wanted[0] = rows;
    for (int axis = 0; axis < shape.length; axis++) wanted[axis + 1] = shape[axis];
    boolean folds = sizes.length > 0 && sizes[0] == rows && Feed.core(sizes, 1).equals(Feed.core(wanted, 1));
    return folds ? whole.reshaped(wanted) : whole;
  }

  private Map<String, ModelTensor> nothing() {
    Map<String, ModelTensor> out = new HashMap<>();
    for (Field field : bundle.contract().outputs()) {
      long[] shape = new long[field.shape().length + 1];
      for (int axis = 1; axis < shape.length; axis++) shape[axis] = field.shape()[axis - 1];
      out.put(field.name(), ModelTensor.empty(field.dtype(), shape));
    }
    return out;
  }

  private static String firstLine(OrtException error) {
    String line = String.valueOf(error.getMessage()).split("\n", 2)[0];
    return line.substring(0, Math.min(300, line.length()));
  }

  /** Let go of the model. */
  @Override
  public void close() {
    try {
      session.close();
    } catch (OrtException error) {
      throw new IllegalStateException(error);
    }
  }
}
