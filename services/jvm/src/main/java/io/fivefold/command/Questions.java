package io.fivefold.command;

import io.fivefold.contract.Column;
import io.fivefold.contract.Columns;
import io.fivefold.contract.Contract;
import io.fivefold.contract.Dtype;
import io.fivefold.contract.Encoding;
import io.fivefold.contract.ExactJson;
import io.fivefold.contract.Field;
import io.fivefold.contract.FivefoldException;
import io.fivefold.contract.Limits;
import io.fivefold.contract.ModelTensor;
import io.fivefold.contract.NotAdaptableException;
import io.fivefold.contract.Numbers;
import io.fivefold.contract.View;
import io.fivefold.contract.Views;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Answers questions about contracts, one JSON object a line, for the cases that every reader of contracts has to pass.
 *
 * Values leave as text that loses nothing: floats as the sixteen hexadecimal digits of their binary64, integers in
 * decimal, bytes as base64.
 */
final class Questions {
  private final Map<String, Contract> contracts = new HashMap<>();

  void answer(BufferedReader in, BufferedWriter out) throws IOException {
    for (String line; (line = in.readLine()) != null; ) {
      String said;
      try {
        said = "{\"answer\":" + answered((Map<?, ?>) ExactJson.parse(line)) + "}";
      } catch (NotAdaptableException error) {
        said = "{\"error\":" + error.toJson() + ",\"reasons\":" + strings(error.reasons()) + "}";
      } catch (FivefoldException error) {
        // Anything else is a defect, and ends the process with its stack.
        said = "{\"error\":" + error.toJson() + ",\"reasons\":null}";
      }
      out.write(said + "\n");
      out.flush();
    }
  }

  private String answered(Map<?, ?> question) {
    String ask = (String) question.get("ask");
    switch (ask) {
      case "parse":
        return parsed(contract(question.get("contract")));
      case "records":
        Contract asked = contract(question.get("contract"));
        return "{" + shown(asked.read(bytes(question.get("body")), limits(question.get("limits"))).columns()) + "}";
      case "outputs":
        return outputs(question);
      case "adapter":
        return adapter(question);
      case "halves":
        return halves((List<?>) question.get("values"));
      default:
        throw new IllegalArgumentException("no such question: " + ask);
    }
  }

  private Contract contract(Object text) {
    Contract found = contracts.get((String) text);
    if (found == null) contracts.put((String) text, found = Contract.parse(bytes(text)));
    return found;
  }

  private static byte[] bytes(Object text) {
    return Base64.getDecoder().decode((String) text);
  }

  private static Limits limits(Object given) {
    Map<?, ?> limits = given == null ? Collections.emptyMap() : (Map<?, ?>) given;
    Object rows = limits.get("maxRows");
    Object depth = limits.get("maxDepth");
    int maxRows = rows == null ? Integer.MAX_VALUE : ((Long) rows).intValue();
    return new Limits(maxRows, depth == null ? Limits.MAX_DEPTH : ((Long) depth).intValue());
  }

  private static String parsed(Contract contract) {
    return "{\"name\":" + ExactJson.string(contract.name()) + ",\"version\":" + ExactJson.string(contract.version())
        + ",\"inputs\":" + names(contract.inputs()) + ",\"outputs\":" + names(contract.outputs()) + "}";
  }

  private static String names(List<Field> fields) {
    List<String> out = new ArrayList<>();
    for (Field field : fields) out.add(field.name());
    return strings(out);
  }

  private static String strings(List<String> texts) {
    List<String> out = new ArrayList<>();
    for (String text : texts) out.add(ExactJson.string(text));
    return "[" + String.join(",", out) + "]";
  }

  private String outputs(Map<?, ?> question) {
    Contract own = contract(question.get("contract"));
    int rows = ((Long) question.get("rows")).intValue();
    Columns columns = own.checkOutputs(tensors((Map<?, ?>) question.get("answer")), rows);
    Map<String, String> metadata = new LinkedHashMap<>();
    if (question.get("metadata") != null) {
      for (Map.Entry<?, ?> each : ((Map<?, ?>) question.get("metadata")).entrySet()) {
        metadata.put((String) each.getKey(), (String) each.getValue());
      }
    }
    boolean byColumn = Boolean.TRUE.equals(question.get("byColumn"));
    return "{" + shown(columns) + ",\"predictions\":" + ExactJson.string(Encoding.rows(columns))
        + ",\"v1\":" + ExactJson.string(Encoding.answer(columns, byColumn, metadata)) + "}";
  }

  private String adapter(Map<?, ?> question) {
    Contract theirs = contract(question.get("caller"));
    Contract ours = contract(question.get("own"));
    boolean newer = Boolean.TRUE.equals(question.get("newer"));
    List<Views.Carried> carried = Collections.singletonList(new Views.Carried(theirs, newer));
    View view = new Views("m", ours, carried, null).find(theirs.version());
    StringBuilder out = new StringBuilder("{\"ignored\":").append(strings(view.ignored()));
    if (question.get("given") != null) {
      Columns given = theirs.read(bytes(question.get("given")), Limits.NONE).columns();
      out.append(",\"into\":").append(withRecords(view.into(given)));
    }
    if (question.get("answer") != null) {
      Map<?, ?> answer = (Map<?, ?>) question.get("answer");
      int rows = ((Long) answer.get("rows")).intValue();
      Columns got = ours.checkOutputs(tensors((Map<?, ?>) answer.get("tensors")), rows);
      out.append(",\"back\":").append(withRecords(view.back(got)));
    }
    return out.append('}').toString();
  }

  private static String withRecords(Columns columns) {
    return "{" + shown(columns) + ",\"records\":" + ExactJson.string(Encoding.rows(columns)) + "}";
  }

  private static String halves(List<?> values) {
    List<String> bits = new ArrayList<>();
    List<String> back = new ArrayList<>();
    for (Object each : values) {
      short half = Numbers.toHalf(number((String) each));
      bits.add(String.valueOf(half & 0xffff));
      back.add(hexadecimal(Numbers.fromHalf(half)));
    }
    return "{\"bits\":[" + String.join(",", bits) + "],\"back\":" + strings(back) + "}";
  }

  /** Columns as flat lists of text, null for null. */
  private static String shown(Columns columns) {
    StringBuilder out = new StringBuilder("\"rows\":").append(columns.rows()).append(",\"columns\":{");
    String comma = "";
    for (Field field : columns.fields()) {
      Column column = columns.column(field.name());
      List<String> cells = new ArrayList<>();
      for (int at = 0; at < column.count(); at++) cells.add(column.isNull(at) ? "null" : cell(column.value(at)));
      out.append(comma).append(ExactJson.string(field.name())).append(":[").append(String.join(",", cells)).append(']');
      comma = ",";
    }
    return out.append('}').toString();
  }

  private static String cell(Object value) {
    if (value instanceof Boolean) return value.toString();
    if (value instanceof Double) return ExactJson.string(hexadecimal((Double) value));
    if (value instanceof byte[]) return ExactJson.string(Base64.getEncoder().encodeToString((byte[]) value));
    return ExactJson.string(value.toString());
  }

  private static String hexadecimal(double value) {
    return String.format(Locale.ROOT, "%016x", Double.doubleToRawLongBits(value));
  }

  private static double number(String hexadecimal) {
    return Double.longBitsToDouble(new BigInteger(hexadecimal, 16).longValue());
  }

  /** A model's answer from the lists that it came in. */
  private static Map<String, ModelTensor> tensors(Map<?, ?> given) {
    Map<String, ModelTensor> out = new HashMap<>();
    for (Map.Entry<?, ?> each : given.entrySet()) {
      Map<?, ?> tensor = (Map<?, ?>) each.getValue();
      Dtype dtype = Dtype.of((String) tensor.get("dtype"));
      List<?> sizes = (List<?>) tensor.get("shape");
      long[] shape = new long[sizes.size()];
      for (int axis = 0; axis < shape.length; axis++) shape[axis] = (Long) sizes.get(axis);
      out.put((String) each.getKey(), new ModelTensor(dtype, shape, data(dtype, (List<?>) tensor.get("data"))));
    }
    return out;
  }

  private static Object data(Dtype dtype, List<?> given) {
    int count = given.size();
    boolean[] booleans = new boolean[count];
    long[] integers = new long[count];
    double[] floats = new double[count];
    Object[] texts = dtype == Dtype.STRING ? new String[count] : new byte[count][];
    for (int at = 0; at < count; at++) {
      Object each = given.get(at);
      switch (dtype.kind()) {
        case BOOL:
          booleans[at] = (Long) each != 0;
          break;
        case INT:
          integers[at] = new BigInteger((String) each).longValue();
          break;
        case FLOAT:
          floats[at] = number((String) each);
          break;
        default:
          texts[at] = dtype == Dtype.STRING ? each : bytes(each);
      }
    }
    switch (dtype.kind()) {
      case BOOL:
        return booleans;
      case INT:
        return integers;
      case FLOAT:
        return floats;
      default:
        return texts;
    }
  }
}
