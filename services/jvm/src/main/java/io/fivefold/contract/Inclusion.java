package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Whether every legal value of one field is a legal and equal value of another, as the server decides it.
 *
 * Floats are those of the dtype, members of an enumeration that other keywords forbid are none; equal is what reads the
 * same as JSON. What a difference means to an adapter is left to {@link Adapter}.
 */
final class Inclusion {
  /** A keyword in which two fields differ so that a value may be lost; KIND for values that never convert. */
  enum Aspect {
    KIND, UNIT, LABELS, SHAPE, NULLABLE, DTYPE, MINIMUM, MAXIMUM, ENUM, MIN_LENGTH, MAX_LENGTH, PATTERN, ALLOW_NAN
  }

  /**
   * One reason; not decided where nobody can say: patterns that are too much to compare, a unit that one side names.
   */
  static final class Misfit {
    final Aspect aspect;
    final boolean decided;

    Misfit(Aspect aspect, boolean decided) {
      this.aspect = aspect;
      this.decided = decided;
    }
  }

  private final Field sender;
  private final Field receiver;
  private final List<Misfit> out = new ArrayList<>();

  private Inclusion(Field sender, Field receiver) {
    this.sender = sender;
    this.receiver = receiver;
  }

  /** Why a legal value of the sender might not be a legal, equal value of the receiver; empty: every value is. */
  static List<Misfit> misfits(Field sender, Field receiver) {
    return new Inclusion(sender, receiver).all();
  }

  private List<Misfit> all() {
    String mine = sender.unit() == null ? "" : sender.unit();
    if (!mine.equals(receiver.unit() == null ? "" : receiver.unit())) {
      out.add(new Misfit(Aspect.UNIT, sender.unit() != null && receiver.unit() != null));
    }
    if (!sender.labels().equals(receiver.labels())) {
      out.add(new Misfit(Aspect.LABELS, !sender.labels().isEmpty() && !receiver.labels().isEmpty()));
    }
    boolean numbers = sender.dtype().numeric() && receiver.dtype().numeric();
    if (!numbers && sender.kind != receiver.kind) {
      out.add(0, new Misfit(Aspect.KIND, true));
      return out;
    }
    if (!Arrays.equals(sender.shape, receiver.shape)) out.add(0, new Misfit(Aspect.SHAPE, true));
    if (sender.nullable() && !receiver.nullable()) found(Aspect.NULLABLE);
    if (numbers) numeric();
    else if (sender.kind == Kind.STRING) text();
    else if (sender.kind == Kind.BYTES) bytes();
    return out;
  }

  /**
   * The aspects in which the receiver's {@code unknown} takes whatever the sender has more than the receiver knows:
   * text outside of its enumeration, and numbers of labels that it does not have. Nothing can be added to a null
   * integer.
   */
  static Set<Aspect> covered(Field sender, Field receiver) {
    Set<Aspect> none = EnumSet.noneOf(Aspect.class);
    if (receiver.unknown == null) return none;
    if (receiver.given != null && sender.kind == Kind.STRING && receiver.kind == Kind.STRING) {
      return EnumSet.of(Aspect.ENUM, Aspect.MIN_LENGTH, Aspect.MAX_LENGTH, Aspect.PATTERN);
    }
    boolean numbers = sender.dtype().numeric() && receiver.dtype().numeric();
    boolean summable = numbers && (sender.kind == Kind.FLOAT || !sender.nullable());
    if (!summable || !receiver.labels().contains(receiver.unknown) || sender.labels().isEmpty()) return none;
    for (String label : receiver.labels()) {
      if (!label.equals(receiver.unknown) && !sender.labels().contains(label)) return none;
    }
    boolean same = Arrays.equals(outer(sender.shape), outer(receiver.shape));
    return same ? EnumSet.of(Aspect.SHAPE, Aspect.LABELS) : none;
  }

  private static int[] outer(int[] shape) {
    return Arrays.copyOf(shape, Math.max(shape.length - 1, 0));
  }

  private void found(Aspect aspect) {
    out.add(new Misfit(aspect, true));
  }

  private void numeric() {
    NumberSet mine = new NumberSet(sender);
    NumberSet other = new NumberSet(receiver);
    if (!mine.empty()) {
      if (sender.dtype() != receiver.dtype() && mine.has(Aspect.DTYPE, other::changes, other)) found(Aspect.DTYPE);
      if (receiver.minimum != null && mine.has(Aspect.MINIMUM, other::isBelow, other)) found(Aspect.MINIMUM);
      if (receiver.maximum != null && mine.has(Aspect.MAXIMUM, other::isAbove, other)) found(Aspect.MAXIMUM);
      if (receiver.given != null && mine.has(Aspect.ENUM, other::isNoMember, other)) found(Aspect.ENUM);
      if (sender.allowNan && receiver.allowNan) {
        if (sender.minimum == null && refusesInfinity(receiver.minimum)) found(Aspect.MINIMUM);
        if (sender.maximum == null && refusesInfinity(receiver.maximum)) found(Aspect.MAXIMUM);
      }
    }
    if (sender.allowNan && !receiver.allowNan) {
      boolean nan = sender.nullable() || receiver.kind == Kind.FLOAT && receiver.nullable();
      if (!nan || sender.minimum == null || sender.maximum == null) found(Aspect.ALLOW_NAN);
    }
  }

  /** An infinity is beyond every bound, the largest finite number too. */
  private boolean refusesInfinity(Object bound) {
    if (bound == null) return false;
    Number value = bound instanceof Literal ? (Number) ((Literal) bound).value : (Number) bound;
    return Numbers.compare(value, receiver.dtype().most) >= 0 || Numbers.compare(value, receiver.dtype().least) <= 0;
  }

  private void text() {
    if (sender.given != null) {
      List<String> members = new ArrayList<>();
      for (Object member : sender.given) {
        if (refuses(sender, (String) member, false).isEmpty()) members.add((String) member);
      }
      Set<Aspect> refused = EnumSet.noneOf(Aspect.class);
      for (String member : members) refused.addAll(refuses(receiver, member, true));
      for (Aspect aspect : refused) found(aspect);
      return;
    }
    long least = sender.minLength == null ? 0 : sender.minLength;
    Long most = sender.maxLength;
    if (receiver.given != null) {
      List<String> words = new ArrayList<>();
      for (Object each : receiver.given) words.add((String) each);
      ask(Aspect.ENUM, least, most, null, words);
    }
    if (receiver.minLength != null && receiver.minLength > least) {
      long shorter = receiver.minLength - 1;
      ask(Aspect.MIN_LENGTH, least, most == null ? shorter : Math.min(most, shorter), null, null);
    }
    if (receiver.maxLength != null && (most == null || most > receiver.maxLength)) {
      ask(Aspect.MAX_LENGTH, Math.max(least, receiver.maxLength + 1), most, null, null);
    }
    if (receiver.pattern != null && (sender.pattern == null || !receiver.pattern.text.equals(sender.pattern.text))) {
      ask(Aspect.PATTERN, least, most, receiver.pattern, null);
    }
  }

  private void ask(Aspect aspect, long least, Long most, Pattern refusedBy, List<String> words) {
    if (sender.pattern == null && refusedBy == null && words == null) {
      found(aspect);
      return;
    }
    Boolean there = Automaton.allows(sender.pattern, least, most, refusedBy, words);
    if (there == null || there) out.add(new Misfit(aspect, there != null));
  }

  /** The field's rules that refuse a text; the order of aspects is that of the rules. */
  private static Set<Aspect> refuses(Field field, String text, boolean members) {
    Set<Aspect> out = EnumSet.noneOf(Aspect.class);
    int length = Text.codePoints(text);
    if (members && !field.isMember(text)) out.add(Aspect.ENUM);
    if (field.minLength != null && length < field.minLength) out.add(Aspect.MIN_LENGTH);
    if (field.maxLength != null && length > field.maxLength) out.add(Aspect.MAX_LENGTH);
    if (field.pattern != null && !field.pattern.matches(text)) out.add(Aspect.PATTERN);
    return out;
  }

  private void bytes() {
    long least = sender.minLength == null ? 0 : sender.minLength;
    if (receiver.minLength != null && least < receiver.minLength) found(Aspect.MIN_LENGTH);
    if (receiver.maxLength != null && (sender.maxLength == null || sender.maxLength > receiver.maxLength)) {
      found(Aspect.MAX_LENGTH);
    }
  }
}
