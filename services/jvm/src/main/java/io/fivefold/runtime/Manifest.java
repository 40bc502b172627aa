package io.fivefold.runtime;

import io.fivefold.contract.BundleInvalidException;
import io.fivefold.contract.ContractException;
import io.fivefold.contract.Dtype;
import io.fivefold.contract.ExactJson;
import io.fivefold.contract.NotRunnableException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * bundle.json, as far as this library reads it; throws {@link BundleInvalidException} for what it cannot be,
 * {@link NotRunnableException} for a model that is none of ONNX.
 */
final class Manifest {
  static final String FILE = "bundle.json";

  /** A file of the bundle. */
  static final class Entry {
    final String path;
    final long bytes;
    final String sha256;

    Entry(String path, long bytes, String sha256) {
      this.path = path;
      this.bytes = bytes;
      this.sha256 = sha256;
    }
  }

  /** A contract version that is carried beside the model's own. */
  static final class Version {
    final String version;
    final boolean newer;

    Version(String version, boolean newer) {
      this.version = version;
      this.newer = newer;
    }
  }

  final String name;
  final String version;
  final double tolerance;
  final List<Entry> files = new ArrayList<>();
  final List<Version> contracts = new ArrayList<>();
  /** The version for callers that name none, or null: the model's own. */
  final String defaultContract;
  final Binding binding;

  Manifest(String text) {
    Map<?, ?> data = object(parsed(text), "");
    if (!ExactJson.isInteger(data.get("format"), 1L)) {
      throw refused("expected format 1, got " + ExactJson.shown(data.get("format")));
    }
    name = text(data, "name");
    version = text(data, "version");
    String runtime = text(data, "runtime");
    if (!runtime.equals("onnx") || data.get("binding") == null) {
      throw new NotRunnableException("a " + runtime + " model does not run here", FILE);
    }
    tolerance = ExactJson.binary64(data.get("tolerance"));
    if (!(tolerance >= 0)) throw refused("tolerance: expected a number");
    for (Object each : list(data.get("files"), "files")) {
      Map<?, ?> entry = object(each, "files");
      String path = text(entry, "path");
      if (path.startsWith("/") || path.contains("\\") || Arrays.asList(path.split("/", -1)).contains("..")) {
        throw refused("files: " + ExactJson.shown(path) + " is outside the bundle");
      }
      files.add(new Entry(path, integer(entry, "bytes"), text(entry, "sha256")));
    }
    for (Object each : list(data.get("contracts"), "contracts")) {
      Map<?, ?> entry = object(each, "contracts");
      contracts.add(new Version(text(entry, "version"), Boolean.TRUE.equals(entry.get("newer"))));
    }
    defaultContract = (String) data.get("default_contract");
    binding = binding(object(data.get("binding"), "binding"));
  }

  private static Object parsed(String text) {
    try {
      return ExactJson.parse(text);
    } catch (ContractException error) {
      throw refused(error.getMessage());
    }
  }

  private static Binding binding(Map<?, ?> data) {
    List<Binding.Input> inputs = new ArrayList<>();
    for (Object each : list(data.get("inputs"), "binding.inputs")) {
      Map<?, ?> item = object(each, "binding.inputs");
      List<String> fields = new ArrayList<>();
      for (Object name : list(item.get("fields"), "fields")) fields.add((String) name);
      Dtype dtype = Dtype.of(text(item, "dtype"));
      if (dtype == null || fields.isEmpty()) throw refused("binding.inputs: expected fields and a dtype");
      boolean stack = Boolean.TRUE.equals(item.get("stack"));
      inputs.add(new Binding.Input(text(item, "model_input"), fields, dtype, stack, (String) item.get("null")));
    }
    List<Binding.Output> outputs = new ArrayList<>();
    for (Object each : list(data.get("outputs"), "binding.outputs")) {
      Map<?, ?> item = object(each, "binding.outputs");
      int column = item.get("column") == null ? -1 : (int) integer(item, "column");
      outputs.add(new Binding.Output(text(item, "field"), text(item, "model_output"), column));
    }
    return new Binding(inputs, outputs);
  }

  private static Map<?, ?> object(Object value, String where) {
    if (value instanceof Map) return (Map<?, ?>) value;
    throw refused((where.isEmpty() ? "" : where + ": ") + "expected an object, got " + ExactJson.shown(value));
  }

  private static List<?> list(Object value, String where) {
    if (value == null) return Collections.emptyList();
    if (value instanceof List) return (List<?>) value;
    throw refused(where + ": expected an array, got " + ExactJson.shown(value));
  }

  private static String text(Map<?, ?> data, String member) {
    Object value = data.get(member);
    if (value instanceof String) return (String) value;
    throw refused(member + ": expected a string, got " + ExactJson.shown(value));
  }

  private static long integer(Map<?, ?> data, String member) {
    Object value = data.get(member);
    if (value instanceof Long && (Long) value >= 0) return (Long) value;
    throw refused(member + ": expected an integer of at least 0, got " + ExactJson.shown(value));
  }

  static BundleInvalidException refused(String message) {
    return new BundleInvalidException(message, FILE, null);
  }
}
