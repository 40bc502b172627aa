package io.fivefold.contract;

import java.util.ArrayList;
import java.util.List;

/** Recursive descent over the subset of patterns; everything outside it is refused with its offset in code points. */
final class PatternParser {
  /** RE2's own limit on a repeat count, nested counts multiplied. */
  private static final int MAX_REPEAT = 1000;
  private static final int[] DIGIT = {'0', '9'};
  private static final int[] WORD = {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'};
  private static final String SYNTAX = "^$\\.*+?()[]{}|/-";
  private static final int NONE = -1;

  /** A part of a pattern, which puts its places into a program. */
  interface Node {
    void emit(List<Pattern.Operation> program);
  }

  /** A part, and how often at most its inner repeats repeat. */
  private static final class Part {
    final Node node;
    final int times;
    final boolean anchor;

    Part(Node node, int times, boolean anchor) {
      this.node = node;
      this.times = times;
      this.anchor = anchor;
    }
  }

  private final String text;
  private final String path;
  private final int[] points;
  private int at;
  private int depth;

  PatternParser(String text, String path) {
    this.text = text;
    this.path = path;
    points = text.codePoints().toArray();
  }

  Node parse() {
    if (!Text.wellFormed(text)) throw refuse("a lone surrogate is not a character", null);
    Part tree = choice();
    if (at < points.length) throw refuse("unmatched )", null);
    return tree.node;
  }

  private ContractInvalidException refuse(String why, String help) {
    return new ContractInvalidException(why + " at offset " + at + " of " + Text.named(text), path, help);
  }

  private int peek(int ahead) {
    return at + ahead < points.length ? points[at + ahead] : NONE;
  }

  private int take() {
    int point = peek(0);
    at++;
    return point;
  }

  private Part choice() {
    List<Node> options = new ArrayList<>();
    int repeats = 1;
    for (;;) {
      List<Node> parts = new ArrayList<>();
      while (peek(0) != NONE && peek(0) != '|' && peek(0) != ')') {
        Part part = term();
        parts.add(part.node);
        repeats = Math.max(repeats, part.times);
      }
      options.add(program -> {
        for (Node each : parts) each.emit(program);
      });
      if (peek(0) != '|') return new Part(program -> emitChoice(options, program), repeats, false);
      at++;
    }
  }

  private static void emitChoice(List<Node> options, List<Pattern.Operation> program) {
    List<Pattern.Operation> jumps = new ArrayList<>();
    for (Node option : options.subList(0, options.size() - 1)) {
      Pattern.Operation split = new Pattern.Operation(Pattern.Step.SPLIT);
      program.add(split);
      int start = program.size();
      option.emit(program);
      Pattern.Operation jump = new Pattern.Operation(Pattern.Step.SPLIT);
      program.add(jump);
      jumps.add(jump);
      split.to = new int[] {start, program.size()};
    }
    options.get(options.size() - 1).emit(program);
    for (Pattern.Operation jump : jumps) jump.to = new int[] {program.size()};
  }

  private static void emitRepeat(Node part, int low, int high, List<Pattern.Operation> program) {
    for (int count = 0; count < low; count++) part.emit(program);
    List<Pattern.Operation> splits = new ArrayList<>();
    List<Integer> starts = new ArrayList<>();
    for (int count = low; count < high; count++) {
      Pattern.Operation split = new Pattern.Operation(Pattern.Step.SPLIT);
      program.add(split);
      splits.add(split);
      starts.add(program.size());
      part.emit(program);
    }
    for (int index = 0; index < splits.size(); index++) {
      splits.get(index).to = new int[] {starts.get(index), program.size()};
    }
  }

  private Part term() {
    Part inner = atom();
    int following = peek(0);
    int low = 0;
    int high = 1;
    if (following == '?') {
      at++;
    } else if (following == '{') {
      int[] counts = counts();
      low = counts[0];
      high = counts[1];
    } else if (following == '*' || following == '+') {
      String bound = "give it a bound, such as {" + (following == '+' ? 1 : 0) + ",64}";
      throw refuse("the unbounded repeat '" + (char) following + "'", bound);
    } else {
      return inner;
    }
    if (inner.anchor) throw refuse("a repeated anchor", null);
    if (peek(0) != NONE && "?{*+".indexOf(peek(0)) >= 0) {
      throw refuse("a repeat of a repeat", "put the inner one into a group");
    }
    int times = inner.times * Math.max(high, 1);
    if (times > MAX_REPEAT) throw refuse("more than " + MAX_REPEAT + " repeats", null);
    int least = low;
    int most = high;
    return new Part(program -> emitRepeat(inner.node, least, most, program), times, false);
  }

  private int[] counts() {
    int end = at;
    while (end < points.length && points[end] != '}') end++;
    String inside = end < points.length ? new String(points, at + 1, end - at - 1) : "";
    int comma = inside.indexOf(',');
    String low = comma < 0 ? inside : inside.substring(0, comma);
    String high = comma < 0 ? "" : inside.substring(comma + 1);
    if (!digits(low) || !high.isEmpty() && !digits(high)) {
      throw refuse("expected {n} or {n,m}", "write a literal brace as \\{");
    }
    if (comma >= 0 && high.isEmpty()) throw refuse("the unbounded repeat {n,}", "give it an upper bound: {n,m}");
    boolean fits = low.length() <= 4 && high.length() <= 4;
    int most = fits ? Integer.parseInt(high.isEmpty() ? low : high) : 0;
    if (!fits || most > MAX_REPEAT || Integer.parseInt(low) > most) {
      throw refuse("expected a repeat of at most " + MAX_REPEAT + ", the smaller count first", null);
    }
    at = end + 1;
    return new int[] {Integer.parseInt(low), most};
  }

  private static boolean digits(String text) {
    for (int at = 0; at < text.length(); at++) if (text.charAt(at) < '0' || text.charAt(at) > '9') return false;
    return !text.isEmpty();
  }

  private Part atom() {
    int character = take();
    if (character == '(') return group();
    if (character == '[') return one(set());
    if (character == '.') return one(new Pattern.Operation(Pattern.Step.SET, new int[] {'\n', '\n'}, true));
    if (character == '^') return anchor(Pattern.Step.BEGIN);
    if (character == '$') return anchor(Pattern.Step.END);
    if (character == '\\') return one(new Pattern.Operation(Pattern.Step.SET, escape(), false));
    if ("*+?{}]".indexOf(character) >= 0) {
      at--;
      throw refuse("'" + (char) character + "' has nothing to act on", "write a literal one as \\" + (char) character);
    }
    return one(new Pattern.Operation(Pattern.Step.SET, new int[] {character, character}, false));
  }

  private static Part one(Pattern.Operation operation) {
    return new Part(program -> program.add(operation), 1, false);
  }

  private static Part anchor(Pattern.Step step) {
    return new Part(program -> program.add(new Pattern.Operation(step)), 1, true);
  }

  private Part group() {
    if (peek(0) == '?' && peek(1) == ':') at += 2;
    else if (peek(0) == '?') throw refuse("flags, look-around and named groups are outside the subset", null);
    depth++;
    if (depth > 50) throw refuse("more than 50 nested groups", null);
    Part found = choice();
    if (take() != ')') throw refuse("a group that is never closed", null);
    depth--;
    return found;
  }

  /** The ranges of an escape; a single character is one range from and to itself. */
  private int[] escape() {
    int character = take();
    if (character == 'd') return DIGIT;
    if (character == 'w') return WORD;
    if (character == 'n') return new int[] {'\n', '\n'};
    if (character == 'r') return new int[] {'\r', '\r'};
    if (character == 't') return new int[] {'\t', '\t'};
    if (character != NONE && SYNTAX.indexOf(character) >= 0) return new int[] {character, character};
    at--;
    String shown = character == NONE ? "" : new String(Character.toChars(character));
    throw refuse("the escape \\" + shown + " is outside the subset", null);
  }

  private Pattern.Operation set() {
    boolean negated = peek(0) == '^';
    if (negated) at++;
    List<int[]> ranges = new ArrayList<>();
    for (int character = take(); character != ']'; character = take()) {
      if (character == NONE) throw refuse("a class that is never closed", null);
      if (character == '[') throw refuse("[ inside a class", "write it as \\[");
      int[] low = character == '\\' ? escape() : new int[] {character, character};
      if (low == DIGIT || low == WORD) {
        ranges.add(low);
        continue;
      }
      int high = low[0];
      if (peek(0) == '-' && peek(1) != ']' && peek(1) != NONE) {
        at++;
        int upper = take();
        int[] end = upper == '\\' ? escape() : new int[] {upper, upper};
        if (end == DIGIT || end == WORD || end[0] < low[0]) {
          throw refuse("a range whose end comes before its start", null);
        }
        high = end[0];
      }
      ranges.add(new int[] {low[0], high});
    }
    if (ranges.isEmpty()) throw refuse("an empty class", null);
    int count = 0;
    for (int[] each : ranges) count += each.length;
    int[] flat = new int[count];
    int put = 0;
    for (int[] each : ranges) {
      System.arraycopy(each, 0, flat, put, each.length);
      put += each.length;
    }
    return new Pattern.Operation(Pattern.Step.SET, flat, negated);
  }
}
