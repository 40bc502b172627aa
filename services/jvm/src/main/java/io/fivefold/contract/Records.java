package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * V1 bodies to columns: {@code {"instances": […]}}, one object or positional array a row, or {@code {"inputs": {…}}},
 * one array a field, as TensorFlow Serving's clients spell it. One cell is left to {@link Cells}.
 */
final class Records {
  private static final List<String> ENVELOPE = Arrays.asList("instances", "inputs", "parameters", "signature_name");
  private static final int MANY_NAMES = 4096;

  /** Members of a record that a help line shows. */
  private static final int SHOWN = 4;

  private final List<Field> fields;
  private final Map<String, Integer> names;
  private final long containers;

  Records(List<Field> fields) {
    this.fields = fields;
    names = Field.indices(fields);
    long sum = 1;
    for (Field field : fields) {
      long product = 1;
      for (int size : field.shape) {
        sum += product;
        product *= size;
      }
    }
    containers = sum;
  }

  /** Read a V1 body in UTF-8. */
  Request readBody(byte[] body, Limits limits) {
    return readParsed(ExactJson.loads(body, limits, containers), limits);
  }

  /** Read a V1 body. */
  Request readBody(String body, Limits limits) {
    return readParsed(ExactJson.loads(body, limits, containers), limits);
  }

  private Request readParsed(Object parsed, Limits limits) {
    if (!(parsed instanceof Map)) {
      String message = "expected an object with instances, got " + Findings.describe(parsed);
      String help = parsed instanceof List ? "wrap it in instances: {\"instances\": […]}" : null;
      throw new ContractException("malformed", message, "", help);
    }
    Map<?, ?> envelope = (Map<?, ?>) parsed;
    String wrapping = wrapping(envelope);
    if (wrapping != null) {
      String message = "expected an object with instances, got a record by itself";
      throw new ContractException("malformed", message, "", wrapping);
    }
    for (Object name : envelope.keySet()) {
      if (ENVELOPE.contains(name)) continue;
      String message = "unknown member " + Findings.describe(name) + " beside instances";
      throw new ContractException("malformed", message, "", Suggestion.nearest((String) name, ENVELOPE));
    }
    Object instances = envelope.get("instances");
    Object inputs = envelope.get("inputs");
    if (inputs != null) {
      if (instances != null) throw ContractException.malformed("expected instances or inputs, got both", "inputs");
      return new Request(readColumns(inputs, limits.maxRows), true);
    }
    if (!(instances instanceof List)) {
      String got = envelope.containsKey("instances") ? Findings.describe(instances) : "nothing";
      throw ContractException.malformed("expected an array of instances, got " + got, "instances");
    }
    return new Request(read((List<?>) instances, limits.maxRows), false);
  }

  /** How a record that came as the whole body is to be sent; null for what is no record of these fields. */
  private String wrapping(Map<?, ?> envelope) {
    if (!Collections.disjoint(envelope.keySet(), ENVELOPE)) return null;
    if (Collections.disjoint(envelope.keySet(), names.keySet())) return null;
    List<String> shown = new ArrayList<>();
    for (Map.Entry<?, ?> each : envelope.entrySet()) {
      if (shown.size() == SHOWN) {
        shown.add("…");
        break;
      }
      shown.add(Findings.describe(each.getKey()) + ": " + sketch(each.getValue()));
    }
    return "wrap it in instances: {\"instances\": [{" + String.join(", ", shown) + "}]}";
  }

  private static String sketch(Object value) {
    return value instanceof List ? "[…]" : value instanceof Map ? "{…}" : Findings.describe(value);
  }

  /** Read parsed values, one a row. */
  Columns read(List<?> instances, int maxRows) {
    ExactJson.refuseRows(instances.size(), maxRows);
    int rows = instances.size();
    Findings findings = new Findings(fields, rows);
    // Under a single field of bytes, an instance of that form is the field's value and no record.
    boolean wrapped = fields.size() == 1 && fields.get(0).kind == Kind.BYTES && !names.containsKey("b64");
    GivenCells given = new GivenCells(fields.size(), rows);
    Map<String, List<Integer>> unknown = new LinkedHashMap<>();
    for (int row = 0; row < rows; row++) {
      Object instance = instances.get(row);
      Object value = wrapped && Cells.isWrapped(instance) ? Cells.unwrapped(instance) : instance;
      if (value instanceof Map) takeRecord(given, unknown, row, (Map<?, ?>) value);
      else takePositional(findings, given, row, value);
    }
    for (String name : firstNames(unknown.keySet())) {
      refuseUnknown(findings, name, ints(unknown.get(name)));
    }
    for (int index = 0; index < fields.size(); index++) {
      if (given.doubled.get(index).isEmpty()) continue;
      refuseDoubled(findings, index, ints(given.doubled.get(index)));
    }
    int[][] absent = new int[fields.size()][];
    for (int index = 0; index < fields.size(); index++) {
      absent[index] = given.absent(index);
      if (fields.get(index).required() && absent[index].length > 0) refuseMissing(findings, index, absent[index]);
    }
    List<Column> columns = new ArrayList<>();
    for (int index = 0; index < fields.size(); index++) {
      // Nothing is kept of input that is refused already: a shape is soon written, and a column large.
      Column column = findings.any() ? null : new Column(fields.get(index), rows);
      List<Integer> at = given.rows.get(index);
      for (int each = 0; each < at.size(); each++) {
        Cells.readRow(findings, index, at.get(each), given.values.get(index).get(each), column);
      }
      if (column != null && absent[index].length > 0) {
        Column cell = Cells.defaultCell(fields, index);
        for (int row : absent[index]) column.putRow(row, cell);
      }
      columns.add(column);
    }
    findings.settle();
    return new Columns(fields, columns, rows);
  }

  private void refuseUnknown(Findings findings, String name, int[] rows) {
    findings.named(
        "unknown_field", fields.size(), name, rows, "no such field", () -> Suggestion.nearest(name, names.keySet()));
  }

  private void refuseDoubled(Findings findings, int index, int[] rows) {
    findings.named("duplicate_field", index, fields.get(index).name(), rows, "given under two of its names");
  }

  private void refuseMissing(Findings findings, int index, int[] rows) {
    findings.named("missing_field", index, fields.get(index).name(), rows, "expected a value, got nothing");
  }

  private void takeRecord(GivenCells given, Map<String, List<Integer>> unknown, int row, Map<?, ?> record) {
    for (Map.Entry<?, ?> each : record.entrySet()) {
      String name = (String) each.getKey();
      Integer index = names.get(name);
      if (index != null) {
        given.take(index, row, each.getValue());
        continue;
      }
      List<Integer> rows = unknown.get(name);
      if (rows == null) unknown.put(name, rows = new ArrayList<>());
      rows.add(row);
      // The first by their bytes are the ones that are reported, whatever is still to come.
      if (unknown.size() > MANY_NAMES) unknown.keySet().retainAll(new HashSet<>(firstNames(unknown.keySet())));
    }
  }

  private void takePositional(Findings findings, GivenCells given, int row, Object value) {
    int width = fields.size();
    if (width == 1 && (fields.get(0).shape.length > 0 || !(value instanceof List))) {
      given.take(0, row, value);
    } else if (!(value instanceof List) || ((List<?>) value).size() != width) {
      given.unreadable.add(row);
      String wanted = "expected an object or an array of " + width + " values, got ";
      findings.row(row, () -> wanted + Findings.describe(value));
    } else {
      for (int index = 0; index < width; index++) given.take(index, row, ((List<?>) value).get(index));
    }
  }

  /** Read values that are spelled by column. */
  private Columns readColumns(Object parsed, int maxRows) {
    if (parsed instanceof List && fields.size() == 1) parsed = Collections.singletonMap(fields.get(0).name(), parsed);
    if (!(parsed instanceof Map)) {
      String message = "expected an object with an array for each field, got " + Findings.describe(parsed);
      throw ContractException.malformed(message, "inputs");
    }
    Map<?, ?> inputs = (Map<?, ?>) parsed;
    boolean required = false;
    for (Field field : fields) required |= field.required();
    if (inputs.isEmpty() && !required) {
      throw ContractException.malformed("expected one field at least: no field, no number of rows", "inputs");
    }
    Map<Integer, List<?>> arrays = new HashMap<>();
    Set<Integer> doubled = new HashSet<>();
    List<String> unknown = new ArrayList<>();
    int rows = 0;
    for (Map.Entry<?, ?> each : inputs.entrySet()) {
      Integer index = names.get((String) each.getKey());
      if (index == null) {
        unknown.add((String) each.getKey());
        continue;
      }
      String path = "inputs." + fields.get(index).name();
      if (!(each.getValue() instanceof List)) {
        String message = "expected an array with one value a row, got " + Findings.describe(each.getValue());
        throw ContractException.malformed(message, path);
      }
      List<?> values = (List<?>) each.getValue();
      if (arrays.isEmpty()) rows = values.size();
      else if (values.size() != rows) {
        String message = "expected " + rows + " values as in the first field, got " + values.size();
        throw ContractException.malformed(message, path);
      }
      if (arrays.put(index, values) != null) doubled.add(index);
    }
    ExactJson.refuseRows(rows, maxRows);
    Findings findings = new Findings(fields, rows);
    for (String name : firstNames(unknown)) refuseUnknown(findings, name, null);
    List<Column> columns = new ArrayList<>();
    for (int index = 0; index < fields.size(); index++) {
      Field field = fields.get(index);
      List<?> values = arrays.get(index);
      Column column = null;
      if (doubled.contains(index)) {
        refuseDoubled(findings, index, null);
      } else if (values != null) {
        column = findings.any() ? null : new Column(field, rows);
        for (int row = 0; row < rows; row++) Cells.readRow(findings, index, row, values.get(row), column);
      } else if (field.required()) {
        refuseMissing(findings, index, null);
      } else if (!findings.any()) {
        column = Cells.defaultColumn(fields, index, rows);
      }
      columns.add(column);
    }
    findings.settle();
    return new Columns(fields, columns, rows);
  }

  /** The unknown names that can be reported, by their UTF-8 bytes. */
  private static List<String> firstNames(Collection<String> names) {
    List<String> out = new ArrayList<>(names);
    out.sort(Text::comparePoints);
    return out.subList(0, Math.min(out.size(), FivefoldException.MAX_DETAILS));
  }

  private static int[] ints(List<Integer> rows) {
    int[] out = new int[rows.size()];
    for (int at = 0; at < out.length; at++) out[at] = rows.get(at);
    return out;
  }

  /** The cells that rows give, by field. */
  private static final class GivenCells {
    private final int count;
    final List<List<Integer>> rows = new ArrayList<>();
    final List<List<Object>> values = new ArrayList<>();
    /** The rows that give the field under two of its names: neither value is judged. */
    final List<List<Integer>> doubled = new ArrayList<>();
    /** Rows that are no records at all; they lack nothing. */
    final List<Integer> unreadable = new ArrayList<>();

    GivenCells(int fields, int count) {
      this.count = count;
      for (int index = 0; index < fields; index++) {
        rows.add(new ArrayList<>());
        values.add(new ArrayList<>());
        doubled.add(new ArrayList<>());
      }
    }

    void take(int index, int row, Object value) {
      List<Integer> at = rows.get(index);
      List<Integer> twice = doubled.get(index);
      if (isLast(twice, row)) return;
      if (isLast(at, row)) {
        at.remove(at.size() - 1);
        values.get(index).remove(at.size());
        twice.add(row);
        return;
      }
      at.add(row);
      values.get(index).add(value);
    }

    private static boolean isLast(List<Integer> rows, int row) {
      return !rows.isEmpty() && rows.get(rows.size() - 1) == row;
    }

    /** The rows that do not give the field, rising. */
    int[] absent(int index) {
      boolean[] there = new boolean[count];
      for (List<Integer> each : Arrays.asList(rows.get(index), doubled.get(index), unreadable)) {
        for (int row : each) there[row] = true;
      }
      List<Integer> out = new ArrayList<>();
      for (int row = 0; row < count; row++) if (!there[row]) out.add(row);
      return ints(out);
    }
  }
}
