package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * One field of a contract: a named value of a row, its dtype, and what it may be.
 *
 * Reading fields from contract.json is left to {@link ContractParser}, holding values against them to {@link Values}.
 */
public final class Field {
  /** What contract.json says of a field, as it is read. */
  static final class Parts {
    String name;
    Dtype dtype;
    int[] shape = {};
    Object minimum;
    Object maximum;
    List<Object> members;
    boolean nullable;
    Object nullValue;
    boolean defaulted;
    Object otherwise;
    boolean allowNan;
    Long minLength;
    Long maxLength;
    Pattern pattern;
    String unit;
    String description;
    List<String> aliases = Collections.emptyList();
    List<String> labels = Collections.emptyList();
    String unknown;
  }

  private final String name;
  private final Dtype dtype;
  final Kind kind;
  /** Empty for a scalar; otherwise each row holds an array of exactly that shape. */
  final int[] shape;
  /** Elements in one row. */
  final int size;
  /** As the contract gives them: Long, BigInteger, Double or Literal; or null. */
  final Object minimum;
  final Object maximum;
  /** Numbers as given, or text; or null. */
  final List<Object> given;
  private final boolean nullable;
  private final boolean defaulted;
  final Object otherwise;
  final boolean allowNan;
  /** In code points (string) or bytes (bytes), or null. */
  final Long minLength;
  final Long maxLength;
  final Pattern pattern;
  private final String unit;
  private final String description;
  private final List<String> aliases;
  private final List<String> labels;
  /** The member of an output's enum or labels that callers get for what a later contract has added; or null. */
  final String unknown;

  /** Bounds and members in the field's own dtype: floats rounded once from binary64, as the data is; or null. */
  final Number low;
  final Number high;
  final Set<Object> members;
  /**
   * What stands for null in a column: NaN for floats, the {@code null_value} elsewhere; null where there is no null.
   */
  final Object none;
  /**
   * Whether {@code null_value} is itself a legal value. Then it is an ordinary value, and null is only what a spelling
   * has of its own for null; otherwise a value equal to it is null too.
   */
  final boolean noneIsValue;

  Field(Parts parts) {
    name = parts.name;
    dtype = parts.dtype;
    kind = dtype.kind();
    shape = parts.shape.clone();
    int product = 1;
    for (int each : shape) product *= each;
    size = product;
    minimum = parts.minimum;
    maximum = parts.maximum;
    given = parts.members;
    nullable = parts.nullable;
    defaulted = parts.defaulted;
    otherwise = parts.otherwise;
    allowNan = parts.allowNan;
    minLength = parts.minLength;
    maxLength = parts.maxLength;
    pattern = parts.pattern;
    unit = parts.unit;
    description = parts.description;
    aliases = Collections.unmodifiableList(new ArrayList<>(parts.aliases));
    labels = Collections.unmodifiableList(new ArrayList<>(parts.labels));
    unknown = parts.unknown;
    low = own(minimum);
    high = own(maximum);
    members = given == null ? null : new HashSet<>();
    if (given != null) for (Object each : given) members.add(each instanceof String ? each : key(own(each)));
    none = nullable ? ownNull(parts.nullValue) : null;
    noneIsValue = nullable && kind != Kind.FLOAT && none != null && isLegal(none);
  }

  public String name() {
    return name;
  }

  public Dtype dtype() {
    return dtype;
  }

  /** The sizes of a row's array; empty for a scalar. */
  public int[] shape() {
    return shape.clone();
  }

  public boolean nullable() {
    return nullable;
  }

  /** Whether a row must carry the field. */
  public boolean required() {
    return !defaulted;
  }

  /** The physical unit, or null. */
  public String unit() {
    return unit;
  }

  public String description() {
    return description;
  }

  /** Other names for the field in data. */
  public List<String> aliases() {
    return aliases;
  }

  /** The names of the numbers along the last dimension. */
  public List<String> labels() {
    return labels;
  }

  /** The members of the enumeration: texts, or numbers as the contract gives them; empty where there is none. */
  public List<Object> members() {
    return given == null ? Collections.emptyList() : Collections.unmodifiableList(given);
  }

  /** Whether a column's value is the one that stands for null. */
  boolean isNull(Object value) {
    if (none == null) return false;
    if (kind == Kind.FLOAT) return Double.isNaN((Double) value);
    return kind == Kind.BYTES ? Arrays.equals((byte[]) value, (byte[]) none) : value.equals(none);
  }

  /** Whether the enumeration, where there is one, has the value. */
  boolean isMember(Object value) {
    return members == null || members.contains(value instanceof Double ? key((Double) value) : value);
  }

  /** A number as sets know it: zeros are equal. */
  private static Object key(Number value) {
    return value instanceof Double ? (Object) ((Double) value + 0.0) : value;
  }

  private Number own(Object value) {
    if (value == null) return null;
    if (kind != Kind.FLOAT) return value instanceof Literal ? ((Literal) value).whole() : (Number) value;
    return Numbers.narrow(dtype, Values.wide(value));
  }

  private Object ownNull(Object value) {
    if (kind == Kind.FLOAT) return Double.NaN;
    return kind == Kind.BYTES && value != null ? Text.fromBase64((String) value) : value;
  }

  private boolean isLegal(Object value) {
    if (kind == Kind.BOOL) return true;
    if (kind == Kind.INT) {
      Number number = (Number) value;
      if (low != null && Numbers.compare(number, low) < 0) return false;
      return (high == null || Numbers.compare(number, high) <= 0) && isMember(number);
    }
    long length = value instanceof byte[] ? ((byte[]) value).length : Text.codePoints((String) value);
    return isMember(value)
        && (minLength == null || length >= minLength)
        && (maxLength == null || length <= maxLength)
        && (pattern == null || pattern.matches((String) value));
  }

  /** The fields' places by their names and aliases. */
  static Map<String, Integer> indices(List<Field> fields) {
    Map<String, Integer> out = new LinkedHashMap<>();
    for (int index = 0; index < fields.size(); index++) {
      out.put(fields.get(index).name, index);
      for (String alias : fields.get(index).aliases) out.put(alias, index);
    }
    return out;
  }

  /** The fields by their names. */
  static Map<String, Field> byName(List<Field> fields) {
    Map<String, Field> out = new HashMap<>();
    for (Field field : fields) out.put(field.name, field);
    return out;
  }
}
