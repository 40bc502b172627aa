package io.fivefold.contract;

import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * contract.json to its fields, read strictly: the first thing that is wrong is refused with its JSON path, in the order
 * in which the server's reader finds it. One keyword's value is left to {@link Keywords}.
 */
final class ContractParser {
  static final Pattern NAME = Pattern.compile("[A-Za-z_][A-Za-z0-9_.-]{0,127}");
  private static final Pattern VERSION = Pattern.compile("[0-9A-Za-z][0-9A-Za-z.+-]{0,63}");
  private static final List<String> MEMBERS =
      Arrays.asList("format", "name", "version", "description", "inputs", "outputs");

  private ContractParser() {}

  /** Read and check a contract. */
  static Contract parse(byte[] raw) {
    Object parsed = json(raw);
    if (!(parsed instanceof Map)) {
      throw new ContractInvalidException("expected an object, got " + Keywords.typeOf(parsed), "");
    }
    Map<?, ?> data = (Map<?, ?>) parsed;
    Keywords.known(data, MEMBERS, "");
    Object format = data.get("format");
    if (!(Values.isNumber(format) && Values.wide(format) == 1)) {
      throw new ContractInvalidException("expected format 1, got " + Keywords.shown(format), "format");
    }
    String name = Keywords.text(data, "name", "");
    if (!NAME.matcher(name).matches()) {
      String help = "a letter, then letters, digits, _ . -";
      throw new ContractInvalidException(Text.named(name) + " is not a name", "name", help);
    }
    String version = Keywords.text(data, "version", "");
    if (!VERSION.matcher(version).matches()) {
      throw new ContractInvalidException(Text.named(version) + " is not a version", "version", "such as 1.0.0");
    }
    String description = Keywords.optionalText(data, "description", "");
    return new Contract(name, version, description, fields(data, "inputs"), fields(data, "outputs"));
  }

  private static Object json(byte[] raw) {
    try {
      return ExactJson.parse(Text.decoded(raw), false);
    } catch (CharacterCodingException error) {
      throw new ContractInvalidException("not JSON: other bytes than UTF-8", "");
    } catch (ContractException error) {
      throw new ContractInvalidException(error.getMessage(), "");
    }
  }

  private static List<Field> fields(Map<?, ?> data, String side) {
    Object raw = data.get(side);
    if (!(raw instanceof List) || ((List<?>) raw).isEmpty()) {
      throw new ContractInvalidException("expected a non-empty array of fields, got " + Keywords.typeOf(raw), side);
    }
    Map<String, String> taken = new HashMap<>();
    List<Field> out = new ArrayList<>();
    for (Object item : (List<?>) raw) {
      String path = side + "[" + out.size() + "]";
      if (!(item instanceof Map)) {
        throw new ContractInvalidException("expected an object, got " + Keywords.typeOf(item), path);
      }
      Field field = field((Map<?, ?>) item, path, side.equals("outputs"));
      List<String> names = new ArrayList<>(Collections.singletonList(field.name()));
      names.addAll(field.aliases());
      for (String name : names) {
        String by = taken.put(name, path);
        if (by == null) continue;
        throw new ContractInvalidException("the name " + Text.named(name) + " is already taken by " + by, path);
      }
      out.add(field);
    }
    return out;
  }

  private static Field field(Map<?, ?> data, String path, boolean output) {
    Keywords.known(data, Keywords.ALL, path);
    Field.Parts parts = new Field.Parts();
    parts.name = Keywords.text(data, "name", path);
    if (!NAME.matcher(parts.name).matches()) {
      String help = "a letter or _, then letters, digits, _ . -";
      throw new ContractInvalidException(Text.named(parts.name) + " is not a name", path + ".name", help);
    }
    parts.dtype = Keywords.dtype(Keywords.text(data, "dtype", path), path + ".dtype");
    parts.unit = Keywords.optionalText(data, "unit", path);
    parts.description = Keywords.optionalText(data, "description", path);
    parts.nullable = Keywords.flag(data, "nullable", path);
    parts.allowNan = Keywords.flag(data, "allow_nan", path);
    parts.shape = Keywords.shape(orEmpty(data, "shape"), path + ".shape");
    parts.aliases = Keywords.names(orEmpty(data, "aliases"), path + ".aliases");
    parts.labels = Keywords.names(orEmpty(data, "labels"), path + ".labels");
    int axes = parts.shape.length;
    if (!parts.labels.isEmpty() && (axes == 0 || parts.labels.size() != parts.shape[axes - 1])) {
      String last = axes == 0 ? "none" : String.valueOf(parts.shape[axes - 1]);
      String message = parts.labels.size() + " labels for a last dimension of " + last;
      throw new ContractInvalidException(message, path + ".labels");
    }
    Keywords.checkNullability(data, parts, path, output);
    if (data.containsKey("null_value")) {
      parts.nullValue = Keywords.value(data.get("null_value"), parts.dtype, path + ".null_value");
    }
    parts.minimum = bound(data, "minimum", parts.dtype, path);
    parts.maximum = bound(data, "maximum", parts.dtype, path);
    boolean bounded = parts.minimum != null && parts.maximum != null;
    if (bounded && Numbers.compare(comparable(parts.minimum), comparable(parts.maximum)) > 0) {
      String above = " is above maximum " + Findings.describe(parts.maximum);
      String message = "minimum " + Findings.describe(parts.minimum) + above;
      throw new ContractInvalidException(message, path + ".minimum");
    }
    parts.minLength = Keywords.length(data.get("minLength"), parts.dtype, path + ".minLength");
    parts.maxLength = Keywords.length(data.get("maxLength"), parts.dtype, path + ".maxLength");
    if (parts.minLength != null && parts.maxLength != null && parts.minLength > parts.maxLength) {
      throw new ContractInvalidException("minLength is above maxLength", path + ".minLength");
    }
    if (data.get("pattern") != null) {
      String text = Keywords.text(data, "pattern", path);
      String where = path + ".pattern";
      if (parts.dtype != Dtype.STRING) {
        throw new ContractInvalidException("pattern needs dtype string, not " + parts.dtype, where);
      }
      parts.pattern = io.fivefold.contract.Pattern.parse(text, where);
    }
    if (data.get("enum") != null) parts.members = Keywords.members(data.get("enum"), parts.dtype, path + ".enum");
    if (data.get("unknown") != null) {
      parts.unknown = Keywords.unknown(data.get("unknown"), parts, path + ".unknown", output);
    }
    if (data.containsKey("default")) {
      String where = path + ".default";
      if (output) throw new ContractInvalidException("an output has no default", where);
      checkDefault(data.get("default"), new Field(parts), where);
      parts.defaulted = true;
      parts.otherwise = data.get("default");
    }
    return new Field(parts);
  }

  private static Object orEmpty(Map<?, ?> data, String keyword) {
    return data.containsKey(keyword) ? data.get(keyword) : Collections.emptyList();
  }

  private static Object bound(Map<?, ?> data, String keyword, Dtype dtype, String path) {
    Object value = data.get(keyword);
    if (value == null) return null;
    String where = path + "." + keyword;
    if (!dtype.numeric()) throw new ContractInvalidException(keyword + " needs a numeric dtype, not " + dtype, where);
    return Keywords.value(value, dtype, where);
  }

  private static Number comparable(Object given) {
    return given instanceof Literal ? (Number) ((Literal) given).value : (Number) given;
  }

  /** The default must itself be a legal value. */
  private static void checkDefault(Object value, Field bare, String path) {
    if (value == null) {
      if (!bare.nullable()) throw new ContractInvalidException("a default of null needs nullable", path);
      return;
    }
    Findings findings = new Findings(Collections.singletonList(bare), 1);
    Cells.readRow(findings, 0, 0, value, null);
    if (findings.any()) {
      throw new ContractInvalidException("not a legal value: " + findings.ordered().get(0).message(), path);
    }
  }
}
