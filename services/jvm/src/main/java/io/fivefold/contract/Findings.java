package io.fivefold.contract;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * What is wrong with an input, in the contract's order. Only what may be among the first sixteen is put into words, so
 * that input which is wrong everywhere costs no more than input which is right. What is legal is left to {@link
 * Values}.
 */
final class Findings {
  /** The class of each code in the order of violations. */
  private static final Map<String, Integer> RANK = new HashMap<>();

  static {
    String[] classes = {
      "malformed too_large", "unknown_field", "duplicate_field", "missing_field", "null_not_allowed",
      "wrong_type not_utf8",
      "wrong_shape", "not_finite", "out_of_range not_in_enum too_short too_long pattern_mismatch",
    };
    for (int rank = 0; rank < classes.length; rank++) {
      for (String code : classes[rank].split(" ")) RANK.put(code, rank);
    }
  }

  /** Characters of an unknown name that a path shows. */
  private static final int MAX_NAME = 128;
  private static final BigInteger LONG = BigInteger.TEN.pow(40);
  private static final Supplier<String> NO_HELP = () -> null;

  private static final class Found implements Comparable<Found> {
    final int rank;
    final int index;
    final String name;
    final int row;
    final int element;
    Violation violation;

    Found(String code, int index, String name, int row, int element) {
      rank = RANK.get(code);
      this.index = index;
      this.name = name;
      this.row = row;
      this.element = element;
    }

    @Override
    public int compareTo(Found other) {
      if (rank != other.rank) return Integer.compare(rank, other.rank);
      if (index != other.index) return Integer.compare(index, other.index);
      int names = Text.comparePoints(name, other.name);
      if (names != 0) return names;
      return row != other.row ? Integer.compare(row, other.row) : Integer.compare(element, other.element);
    }
  }

  final List<Field> fields;
  final int rows;
  private final String side;
  private final List<Found> found = new ArrayList<>();
  private Found last;

  Findings(List<Field> fields, int rows, String side) {
    this.fields = fields;
    this.rows = rows;
    this.side = side;
  }

  Findings(List<Field> fields, int rows) {
    this(fields, rows, "inputs");
  }

  boolean any() {
    return !found.isEmpty();
  }

  /** A record that cannot be read at all. */
  void row(int row, Supplier<String> message) {
    add(new Found("malformed", -1, "", row, 0), "malformed", () -> side + "[" + row + "]", message, NO_HELP);
  }

  /**
   * A name that is unknown, doubled or missing in {@code rows} (rising; null: in all): once where that is every row.
   */
  void named(String code, int index, String name, int[] at, String message, Supplier<String> help) {
    String key = index >= fields.size() ? name : "";
    String shown = side + "." + shownName(name);
    if (at == null || at.length == rows) {
      add(new Found(code, index, key, -1, 0), code, () -> shown, () -> message, help);
      return;
    }
    for (int row : Arrays.copyOf(at, Math.min(at.length, FivefoldException.MAX_DETAILS))) {
      add(new Found(code, index, key, row, 0), code, () -> shown + "[" + row + "]", () -> message, help);
    }
  }

  void named(String code, int index, String name, int[] at, String message) {
    named(code, index, name, at, message, NO_HELP);
  }

  /** A cell of a field; {@code element} counts in row-major order, -1 = the row's whole value. */
  void cell(String code, int index, int row, int element, Supplier<String> message, Supplier<String> help) {
    add(new Found(code, index, "", row, element), code, () -> path(index, row, element), message, help);
  }

  void cell(String code, int index, int row, int element, Supplier<String> message) {
    cell(code, index, row, element, message, NO_HELP);
  }

  /** The first sixteen: by class, field, row, element; unknown names by their UTF-8 bytes. */
  List<Violation> ordered() {
    found.sort(null);
    List<Violation> out = new ArrayList<>();
    for (Found each : found.subList(0, Math.min(found.size(), FivefoldException.MAX_DETAILS))) out.add(each.violation);
    return out;
  }

  /** Throw where anything was found. */
  void settle() {
    if (any()) throw ContractException.of(ordered());
  }

  private void add(Found item, String code, Supplier<String> path, Supplier<String> message, Supplier<String> help) {
    if (last != null && item.compareTo(last) > 0) return;
    item.violation = new Violation(code, path.get(), message.get(), help.get());
    found.add(item);
    if (found.size() < 4 * FivefoldException.MAX_DETAILS) return;
    found.sort(null);
    found.subList(FivefoldException.MAX_DETAILS, found.size()).clear();
    last = found.get(FivefoldException.MAX_DETAILS - 1);
  }

  private String path(int index, int row, int element) {
    Field field = fields.get(index);
    return side + "." + field.name() + "[" + row + "]" + (element < 0 ? "" : indices(element, field.shape));
  }

  /** {@code [i][j]} of a place in an array of a shape, in row-major order. */
  static String indices(int at, int[] shape) {
    StringBuilder out = new StringBuilder();
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      out.insert(0, "[" + at % shape[axis] + "]");
      at /= shape[axis];
    }
    return out.toString();
  }

  /** A name as a path shows it: valid UTF-8, and no longer than the longest name that a contract may give. */
  static String shownName(String name) {
    String begun = Text.firstPoints(name, MAX_NAME);
    StringBuilder out = new StringBuilder();
    for (int at = 0; at < begun.length(); ) {
      int point = begun.codePointAt(at);
      at += Character.charCount(point);
      out.appendCodePoint(point >= 0xd800 && point <= 0xdfff ? 0xfffd : point);
    }
    return begun.length() < name.length() ? out + "…" : out.toString();
  }

  /** A value as a message shows it: short, never a whole body. */
  static String describe(Object value) {
    if (value == null) return "null";
    if (value instanceof Boolean || value instanceof Long) return value.toString();
    if (value instanceof BigInteger) {
      return ((BigInteger) value).abs().compareTo(LONG) < 0 ? value.toString() : "an integer of more than 40 digits";
    }
    if (value instanceof Double) return Numbers.shownFloat((Double) value);
    if (value instanceof Literal) return Numbers.shownFloat(((Literal) value).value);
    if (value instanceof String) {
      String text = Text.quoted(Text.firstPoints((String) value, 40));
      int count = Text.codePoints((String) value);
      return count <= 40 ? text : text.substring(0, text.length() - 1) + "…\" (" + count + " characters)";
    }
    if (value instanceof byte[]) return ((byte[]) value).length + " bytes";
    return value instanceof List ? "an array of " + ((List<?>) value).size() : "an object";
  }
}
