package io.fivefold.contract;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What one keyword of a field may hold; throws {@link ContractInvalidException} at its path. */
final class Keywords {
  static final List<String> ALL =
      Arrays.asList(
          "name", "dtype", "shape", "minimum", "maximum", "enum", "nullable", "null_value", "default", "allow_nan",
          "minLength", "maxLength", "pattern", "unit", "description", "aliases", "labels", "unknown");

  private Keywords() {}

  static String typeOf(Object value) {
    if (value == null) return "null";
    if (value instanceof Boolean) return "a boolean";
    if (Values.isNumber(value)) return "a number";
    if (value instanceof String) return "a string";
    return value instanceof List ? "an array" : "an object";
  }

  /** A value as a sentence about the contract itself shows it. */
  static String shown(Object value) {
    if (value == null) return "None";
    if (value instanceof Boolean) return (Boolean) value ? "True" : "False";
    if (value instanceof String) return Text.named((String) value);
    if (value instanceof BigInteger) return value.toString();
    if (value instanceof List) {
      List<String> parts = new ArrayList<>();
      for (Object each : (List<?>) value) parts.add(shown(each));
      return "[" + String.join(", ", parts) + "]";
    }
    if (value instanceof Map) {
      List<String> parts = new ArrayList<>();
      for (Map.Entry<?, ?> each : ((Map<?, ?>) value).entrySet()) {
        parts.add(Text.named((String) each.getKey()) + ": " + shown(each.getValue()));
      }
      return "{" + String.join(", ", parts) + "}";
    }
    return Findings.describe(value);
  }

  static void known(Map<?, ?> data, Collection<String> keywords, String path) {
    for (Object key : data.keySet()) {
      if (keywords.contains(key)) continue;
      String name = (String) key;
      String near = Suggestion.nearest(name, keywords);
      String allowed = "allowed: " + String.join(", ", keywords);
      String help = near == null || near.isEmpty() ? allowed : near + " " + allowed;
      throw new ContractInvalidException("unknown keyword " + Text.named(name), join(path, name), help);
    }
  }

  private static String join(String path, String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  static String text(Map<?, ?> data, String key, String path) {
    String where = join(path, key);
    if (!data.containsKey(key)) throw new ContractInvalidException("'" + key + "' is missing", where);
    Object value = data.get(key);
    if (!(value instanceof String) || ((String) value).isEmpty()) {
      throw new ContractInvalidException("expected a non-empty string, got " + typeOf(value), where);
    }
    refuseSurrogates((String) value, where);
    return (String) value;
  }

  static String optionalText(Map<?, ?> data, String key, String path) {
    return data.get(key) == null ? null : text(data, key, path);
  }

  private static void refuseSurrogates(String value, String path) {
    if (!Text.wellFormed(value)) throw new ContractInvalidException("expected valid UTF-8, got a lone surrogate", path);
  }

  static Dtype dtype(String text, String path) {
    Dtype found = Dtype.of(text);
    if (found != null) return found;
    List<String> all = new ArrayList<>();
    for (Dtype each : Dtype.values()) all.add(each.toString());
    String near = Suggestion.nearest(text, all);
    String help = near == null ? String.join(", ", all) : near;
    throw new ContractInvalidException("unknown dtype " + Text.named(text), path, help);
  }

  static boolean flag(Map<?, ?> data, String keyword, String path) {
    Object value = data.containsKey(keyword) ? data.get(keyword) : Boolean.FALSE;
    if (value instanceof Boolean) return (Boolean) value;
    throw new ContractInvalidException("expected true or false, got " + typeOf(value), path + "." + keyword);
  }

  static int[] shape(Object value, String path) {
    if (!(value instanceof List)) {
      throw new ContractInvalidException("expected an array of sizes, got " + typeOf(value), path);
    }
    List<?> sizes = (List<?>) value;
    int[] out = new int[sizes.size()];
    double product = 1;
    for (int index = 0; index < out.length; index++) {
      Object size = sizes.get(index);
      if (!Numbers.isInteger(size) || Numbers.compare((Number) size, 1L) < 0) {
        String help = Long.valueOf(-1).equals(size) ? "-1 is reserved; a row's shape is fixed" : null;
        String message = "expected a positive size, got " + shown(size);
        throw new ContractInvalidException(message, path + "[" + index + "]", help);
      }
      product *= ((Number) size).doubleValue();
      out[index] = (int) Math.min(((Number) size).doubleValue(), Integer.MAX_VALUE);
    }
    if (product > 1 << 24 || out.length > 8) {
      throw new ContractInvalidException("a row's array may have at most 8 dimensions and 16,777,216 elements", path);
    }
    return out;
  }

  static List<String> names(Object value, String path) {
    if (!(value instanceof List)) {
      throw new ContractInvalidException("expected an array of strings, got " + typeOf(value), path);
    }
    List<String> out = new ArrayList<>();
    for (Object item : (List<?>) value) {
      String where = path + "[" + out.size() + "]";
      if (!(item instanceof String) || ((String) item).isEmpty()) {
        throw new ContractInvalidException("expected a non-empty string, got " + shown(item), where);
      }
      refuseSurrogates((String) item, where);
      out.add((String) item);
    }
    if (new HashSet<>(out).size() != out.size()) throw new ContractInvalidException("the same name twice", path);
    return out;
  }

  static void checkNullability(Map<?, ?> data, Field.Parts parts, String path, boolean output) {
    boolean isFloat = parts.dtype.kind() == Kind.FLOAT;
    if (parts.allowNan) {
      String where = path + ".allow_nan";
      if (!isFloat) throw new ContractInvalidException("allow_nan needs a float dtype, not " + parts.dtype, where);
      if (output) {
        String message = "an output that may be NaN has no spelling in JSON";
        throw new ContractInvalidException(message, where, "declare it nullable");
      }
      if (data.get("enum") != null) {
        throw new ContractInvalidException("allow_nan and enum contradict each other", where);
      }
    }
    String where = path + ".null_value";
    if (data.containsKey("null_value")) {
      if (parts.nullable && !isFloat) return;
      String why = isFloat ? "in a float NaN is null" : "the field is not nullable";
      throw new ContractInvalidException("null_value has no meaning here: " + why, where);
    }
    if (parts.nullable && !isFloat) {
      String message = "a nullable " + parts.dtype + " declares null_value, the value that the model gets for null";
      throw new ContractInvalidException(message, where);
    }
  }

  /** One scalar of a keyword, as the dtype has it: Long, BigInteger, Double, Literal, Boolean or String. */
  static Object value(Object value, Dtype dtype, String path) {
    if (dtype.numeric()) {
      if (!Values.isNumber(value)) throw new ContractInvalidException("expected a number, got " + typeOf(value), path);
      return dtype.kind() == Kind.FLOAT ? floating(value, dtype, path) : integral(value, dtype, path);
    }
    if (dtype == Dtype.BOOL) {
      if (value instanceof Boolean) return value;
      throw new ContractInvalidException("expected true or false, got " + typeOf(value), path);
    }
    if (!(value instanceof String)) throw new ContractInvalidException("expected a string, got " + typeOf(value), path);
    refuseSurrogates((String) value, path);
    if (dtype == Dtype.BYTES && Text.fromBase64((String) value) == null) {
      throw new ContractInvalidException("not base64", path);
    }
    return value;
  }

  private static Object floating(Object value, Dtype dtype, String path) {
    double wide = Values.wide(value);
    if (!Numbers.finite(Numbers.narrow(dtype, wide))) {
      throw new ContractInvalidException(Findings.describe(value) + " is outside " + dtype, path);
    }
    // An integer that binary64 would change is shown as what it becomes.
    boolean changed = Numbers.isInteger(value) && Numbers.compare((Number) value, (Double) wide) != 0;
    return changed ? new Literal(wide, null) : value;
  }

  private static Object integral(Object value, Dtype dtype, String path) {
    double wide = Values.wide(value);
    if (!Numbers.isInteger(value) && !Numbers.integral(wide)) {
      throw new ContractInvalidException("expected an integer, got " + Numbers.shownFloat(wide), path);
    }
    Number exact = Numbers.isInteger(value) ? (Number) value : Numbers.integer(new BigDecimal(wide).toBigInteger());
    if (Numbers.compare(exact, dtype.least) < 0 || Numbers.compare(exact, dtype.most) > 0) {
      throw new ContractInvalidException(Findings.describe(value) + " is outside " + dtype, path);
    }
    return exact;
  }

  static Long length(Object value, Dtype dtype, String path) {
    if (value == null) return null;
    if (dtype != Dtype.STRING && dtype != Dtype.BYTES) {
      throw new ContractInvalidException("lengths need dtype string or bytes, not " + dtype, path);
    }
    if (!Numbers.isInteger(value) || Numbers.compare((Number) value, 0L) < 0) {
      throw new ContractInvalidException("expected a length of at least 0, got " + shown(value), path);
    }
    return value instanceof BigInteger ? Long.MAX_VALUE : (Long) value;
  }

  static List<Object> members(Object value, Dtype dtype, String path) {
    if (dtype == Dtype.BOOL || dtype == Dtype.BYTES) {
      throw new ContractInvalidException("enum needs a string or numeric dtype, not " + dtype, path);
    }
    if (!(value instanceof List) || ((List<?>) value).isEmpty()) {
      throw new ContractInvalidException("expected a non-empty array, got " + typeOf(value), path);
    }
    List<Object> out = new ArrayList<>();
    Set<Object> distinct = new HashSet<>();
    for (Object item : (List<?>) value) {
      Object one = value(item, dtype, path + "[" + out.size() + "]");
      out.add(one);
      distinct.add(dtype.kind() == Kind.FLOAT ? (Object) (Values.wide(one) + 0.0) : one);
    }
    if (distinct.size() != out.size()) throw new ContractInvalidException("the same value twice", path);
    return out;
  }

  /** The member that stands for what a later version adds: of the enum, or of the labels where there is none. */
  static String unknown(Object value, Field.Parts parts, String path, boolean output) {
    if (!output) throw new ContractInvalidException("an input has no unknown member: what it may be is listed", path);
    List<?> choice = parts.members != null ? parts.members : parts.labels;
    if (choice.isEmpty()) {
      throw new ContractInvalidException("unknown needs an enum or labels, one of which it names", path);
    }
    if (parts.members != null && parts.dtype != Dtype.STRING) {
      String message = "a number of an enum has no unknown member: any other number is as good";
      throw new ContractInvalidException(message, path);
    }
    if (parts.members == null && !parts.dtype.numeric()) {
      throw new ContractInvalidException("numbers are added to the unknown label, and this is " + parts.dtype, path);
    }
    if (value instanceof String && choice.contains(value)) return (String) value;
    List<String> some = new ArrayList<>();
    for (Object each : choice.subList(0, Math.min(8, choice.size()))) some.add((String) each);
    String message = "expected a member of the " + (parts.members != null ? "enum" : "labels");
    throw new ContractInvalidException(message, path, "one of " + String.join(", ", some));
  }
}
