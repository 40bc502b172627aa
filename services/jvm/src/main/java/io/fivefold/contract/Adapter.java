package io.fivefold.contract;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Columns of one contract version as columns of another: how a model answers callers of a version that is not its own.
 *
 * <pre>
 *   into   a caller's inputs to the model's: renamed by alias, widened, defaults filled, what the model lacks left out
 *   back   the model's outputs to the caller's: renamed by alias, widened, new outputs left out, what the caller's
 *          version does not know put under its `unknown` member
 * </pre>
 *
 * An adapter exists only where it keeps its promise for every value that the caller's contract allows.
 */
final class Adapter {
  /** How far a sum of several numbers may leave a bound, relative to it, before that is more than rounding. */
  private static final double ROUNDING = 1e-6;

  private final Pairing inputs;
  private final Pairing outputs;
  private final List<Field> own;
  private final List<Field> callers;

  /**
   * The adapter for callers of {@code caller} to a model of {@code own}; throws {@link NotAdaptableException}. {@code
   * newer} says that the caller's version came after the model's: an input that it requires cannot be left out then.
   */
  Adapter(Contract caller, Contract own, boolean newer) {
    this.own = own.inputs();
    callers = caller.outputs();
    inputs = new Pairing(caller.inputs(), own.inputs());
    outputs = new Pairing(own.outputs(), caller.outputs());
    List<String> reasons = new ArrayList<>();
    for (Map.Entry<Field, Field> each : inputs.matched.entrySet()) {
      addReasons(reasons, "inputs", each.getValue().name(), each.getValue(), each.getKey());
    }
    for (Field missing : inputs.unsent) {
      if (!missing.required()) continue;
      reasons.add("inputs." + missing.name() + ": required, and callers of " + caller.version() + " do not send it");
    }
    for (Field extra : inputs.unreceived) {
      if (!newer || !extra.required()) continue;
      reasons.add("inputs." + extra.name() + ": " + caller.version() + " requires it, and the model does not have it");
    }
    for (Map.Entry<Field, Field> each : outputs.matched.entrySet()) {
      addReasons(reasons, "outputs", each.getKey().name(), each.getValue(), each.getKey());
    }
    for (Field missing : outputs.unsent) reasons.add("outputs." + missing.name() + ": the model does not give it");
    if (!reasons.isEmpty()) throw new NotAdaptableException(reasons);
  }

  /** Inputs of the caller's that the model does not take. */
  List<String> ignored() {
    List<String> out = new ArrayList<>();
    for (Field extra : inputs.unreceived) out.add(extra.name());
    return out;
  }

  /** Columns of the caller's inputs as columns of the model's. */
  Columns into(Columns columns) {
    return way(inputs, own, columns);
  }

  /** Columns of the model's outputs as the caller's; throws where added labels leave the caller's bounds. */
  Columns back(Columns columns) {
    return way(outputs, callers, columns);
  }

  private static void addReasons(List<String> reasons, String side, String name, Field sender, Field receiver) {
    Set<Inclusion.Aspect> taken = Inclusion.covered(sender, receiver);
    for (Inclusion.Misfit each : Inclusion.misfits(sender, receiver)) {
      // A unit, or labels, that only one of them names is nothing that values show.
      boolean named = each.aspect == Inclusion.Aspect.UNIT || each.aspect == Inclusion.Aspect.LABELS;
      if (taken.contains(each.aspect) || named && !each.decided) continue;
      String aspect = each.aspect.name().toLowerCase(Locale.ROOT);
      String doubt = each.decided ? "" : ", and nobody can say whether all of it fits";
      String comes = shown(sender, each.aspect) + " comes, " + shown(receiver, each.aspect) + " is taken";
      reasons.add(side + "." + name + ": " + aspect + " " + comes + doubt);
    }
  }

  private static String shown(Field field, Inclusion.Aspect aspect) {
    String text = words(value(field, aspect));
    return Text.codePoints(text) <= 64 ? text : Text.firstPoints(text, 63) + "…";
  }

  private static Object value(Field field, Inclusion.Aspect aspect) {
    switch (aspect) {
      case KIND:
        return field.kind.name().toLowerCase(Locale.ROOT);
      case DTYPE:
        return field.dtype().toString();
      case UNIT:
        return field.unit();
      case LABELS:
        return field.labels();
      case SHAPE:
        List<Object> sizes = new ArrayList<>();
        for (int size : field.shape) sizes.add((long) size);
        return sizes;
      case NULLABLE:
        return field.nullable();
      case MINIMUM:
        return field.minimum;
      case MAXIMUM:
        return field.maximum;
      case ENUM:
        return field.given;
      case MIN_LENGTH:
        return field.minLength;
      case MAX_LENGTH:
        return field.maxLength;
      case PATTERN:
        return field.pattern == null ? "none" : field.pattern.text;
      default:
        return field.allowNan;
    }
  }

  private static String words(Object value) {
    if (value == null) return "none";
    if (value instanceof Boolean) return (Boolean) value ? "True" : "False";
    if (value instanceof List) {
      List<String> parts = new ArrayList<>();
      for (Object each : (List<?>) value) parts.add(each instanceof String ? Text.named((String) each) : words(each));
      return "[" + String.join(", ", parts) + "]";
    }
    return value instanceof String ? (String) value : Findings.describe(value);
  }

  /** One direction: each receiver's column by its sender's, or by its default. */
  private static Columns way(Pairing pairing, List<Field> receivers, Columns columns) {
    List<Column> made = new ArrayList<>();
    for (int index = 0; index < receivers.size(); index++) {
      Field receiver = receivers.get(index);
      Field sender = pairing.matched.get(receiver);
      if (sender == null) made.add(Cells.defaultColumn(receivers, index, columns.rows()));
      else made.add(converted(columns.column(sender.name()), sender, receiver, columns.rows()));
    }
    return new Columns(receivers, made, columns.rows());
  }

  private static Column converted(Column column, Field sender, Field receiver, int rows) {
    boolean fold = receiver.unknown != null && receiver.given == null && !receiver.labels().equals(sender.labels());
    if (fold && !receiver.labels().isEmpty()) return folded(column, sender, receiver, rows);
    boolean text = receiver.unknown != null && receiver.given != null;
    Column out = new Column(receiver, rows);
    for (int at = 0; at < column.count; at++) {
      Object value = column.value(at);
      if (column.isNull(at)) out.putNull(at);
      else if (receiver.kind == Kind.FLOAT) out.put(at, ((Number) value).doubleValue());
      else if (sender.kind == Kind.FLOAT) out.put(at, whole((Double) value));
      else out.put(at, text && !receiver.isMember(value) ? receiver.unknown : value);
    }
    return out;
  }

  private static Number whole(double value) {
    return Numbers.integer(new BigDecimal(value).toBigInteger());
  }

  /** The numbers of labels that the receiver knows, in its order, and the sum of the others under its unknown one. */
  private static Column folded(Column column, Field sender, Field receiver, int rows) {
    int wide = sender.labels().size();
    int narrowed = receiver.labels().size();
    List<Integer> others = new ArrayList<>();
    for (int place = 0; place < wide; place++) {
      String label = sender.labels().get(place);
      if (label.equals(receiver.unknown) || !receiver.labels().contains(label)) others.add(place);
    }
    Column out = new Column(receiver, rows);
    for (int group = 0; group * wide < column.count; group++) {
      for (int label = 0; label < narrowed; label++) {
        Number value;
        if (receiver.labels().get(label).equals(receiver.unknown)) {
          value = within(receiver, summed(receiver, column, group * wide, others));
        } else {
          value = (Number) column.value(group * wide + sender.labels().indexOf(receiver.labels().get(label)));
        }
        out.set(group * narrowed + label, rounded(receiver, value));
      }
    }
    out.readNulls();
    return out;
  }

  private static Number summed(Field receiver, Column column, int from, List<Integer> places) {
    if (receiver.kind == Kind.FLOAT) {
      double[] numbers = new double[places.size()];
      for (int at = 0; at < numbers.length; at++) {
        numbers[at] = ((Number) column.value(from + places.get(at))).doubleValue();
      }
      return 0 + pairwise(numbers);
    }
    BigInteger sum = BigInteger.ZERO;
    for (int place : places) {
      Number value = (Number) column.value(from + place);
      sum = sum.add(Numbers.big(value instanceof Double ? whole((Double) value) : value));
    }
    return Numbers.integer(sum);
  }

  /**
   * The sum in the order in which numpy adds, so that it is the server's to the last bit: eight partial sums, halves
   * from 128 numbers on (N. J. Higham, "The accuracy of floating point summation", 1993).
   */
  private static double pairwise(double[] numbers) {
    int count = numbers.length;
    if (count < 8) {
      double sum = -0.0;
      for (double each : numbers) sum += each;
      return sum;
    }
    if (count > 128) {
      int half = count / 2 - count / 2 % 8;
      return pairwise(Arrays.copyOf(numbers, half)) + pairwise(Arrays.copyOfRange(numbers, half, count));
    }
    double[] lanes = Arrays.copyOf(numbers, 8);
    int whole = count - count % 8;
    for (int at = 8; at < whole; at++) lanes[at % 8] += numbers[at];
    double sum = lanes[0] + lanes[1] + (lanes[2] + lanes[3]) + (lanes[4] + lanes[5] + (lanes[6] + lanes[7]));
    for (int at = whole; at < count; at++) sum += numbers[at];
    return sum;
  }

  private static Number rounded(Field receiver, Number value) {
    if (receiver.kind == Kind.FLOAT) return Numbers.narrow(receiver.dtype(), value.doubleValue());
    return value instanceof Double ? whole((Double) value) : value;
  }

  /** A sum, or the bound that it left by no more than rounding. */
  private static Number within(Field receiver, Number sum) {
    Number low = receiver.low == null ? receiver.dtype().least : receiver.low;
    Number high = receiver.high == null ? receiver.dtype().most : receiver.high;
    if (sum instanceof Double && Double.isNaN((Double) sum)) return sum;
    Number bound = Numbers.compare(sum, low) < 0 ? low : Numbers.compare(sum, high) > 0 ? high : null;
    if (bound == null) return sum;
    double limit = bound.doubleValue();
    double apart = Math.abs(sum.doubleValue() - limit);
    // Integers are not rounded.
    if (receiver.kind != Kind.FLOAT || !(apart <= ROUNDING * Math.max(1, Math.abs(limit)))) {
      String message = "the numbers of labels that this contract version does not know add up to more than it allows";
      throw new ModelFailedException(message, "outputs." + receiver.name());
    }
    return bound;
  }
}
