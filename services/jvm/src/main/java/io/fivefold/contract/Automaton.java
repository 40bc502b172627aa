package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The texts that a field allows, as a language: is there one that another field refuses?
 *
 * The programs of both patterns are walked together, level by level. The walk is bounded, and counted as the server
 * counts it, so that both say undecided of the same questions.
 */
final class Automaton {
  private static final int BUDGET = 200_000;
  private static final int LAST = 0x10ffff;
  private static final String PREFERRED = "a0A _-.b1!~";
  /** The state in which a pattern is found, whatever follows, and the one in which no word goes on so. */
  private static final String END = "end";

  private static final class Undecided extends Exception {
    private static final long serialVersionUID = 1L;
  }

  private static final class Steps {
    private int left = BUDGET;

    void take(int count) throws Undecided {
      left -= count;
      if (left < 0) throw new Undecided();
    }
  }

  /** States are known by their names. */
  private interface Machine {
    String start();

    /** Code points from, to, from, to, … that are told apart. */
    Set<Integer> edges();

    boolean accepts(String state) throws Undecided;

    String after(String state, int code) throws Undecided;
  }

  /** A pattern's automaton: a state is whether a text has begun, and the places that wait. */
  private static final class PatternMachine implements Machine {
    private final List<Pattern.Operation> program;
    private final Steps steps;
    private final String start;
    private final String again;
    private final Map<String, int[]> places = new LinkedHashMap<>();

    PatternMachine(Pattern pattern, Steps steps) throws Undecided {
      this.steps = steps;
      program = pattern.program();
      steps.take(program.size());
      start = close(new int[] {0}, false, false);
      again = close(new int[] {0}, true, false);
    }

    @Override
    public String start() {
      return start;
    }

    @Override
    public Set<Integer> edges() {
      Set<Integer> out = new TreeSet<>();
      for (Pattern.Operation each : program) {
        for (int at = 0; at < each.ranges.length; at += 2) {
          out.add(each.ranges[at]);
          out.add(each.ranges[at + 1] + 1);
        }
      }
      return out;
    }

    @Override
    public boolean accepts(String state) throws Undecided {
      if (state.equals(END)) return true;
      Pattern.Places ends = new Pattern.Places();
      for (int place : places.get(state)) if (program.get(place).step == Pattern.Step.END) ends.push(place + 1);
      return ends.count > 0 && close(Arrays.copyOf(ends.items, ends.count), state.startsWith("true"), true).equals(END);
    }

    @Override
    public String after(String state, int code) throws Undecided {
      if (state.equals(END)) return END;
      int[] waiting = places.get(state);
      steps.take(waiting.length + 1);
      Pattern.Places reached = new Pattern.Places();
      for (int place : waiting) {
        Pattern.Operation operation = program.get(place);
        if (operation.step == Pattern.Step.SET && operation.takes(code)) reached.push(place + 1);
      }
      String following = close(Arrays.copyOf(reached.items, reached.count), true, false);
      if (following.equals(END) || again.equals(END)) return END;
      TreeSet<Integer> both = new TreeSet<>();
      for (int place : places.get(following)) both.add(place);
      for (int place : places.get(again)) both.add(place);
      return named(both, true);
    }

    /** The places reachable without a character that wait for one, or for the end; END where the match is found. */
    private String close(int[] from, boolean begun, boolean ended) throws Undecided {
      TreeSet<Integer> waiting = new TreeSet<>();
      Set<Integer> seen = new HashSet<>();
      Pattern.Places stack = new Pattern.Places();
      stack.push(from);
      while (stack.count > 0) {
        int place = stack.pop();
        if (!seen.add(place)) continue;
        Pattern.Operation operation = program.get(place);
        if (operation.step == Pattern.Step.MATCH) return END;
        boolean begins = operation.step == Pattern.Step.BEGIN;
        boolean ends = operation.step == Pattern.Step.END;
        if (operation.step == Pattern.Step.SPLIT) stack.push(operation.to);
        else if (begins && !begun || ends && ended) stack.push(place + 1);
        else if (!begins) waiting.add(place);
      }
      steps.take(seen.size());
      return named(waiting, begun);
    }

    private String named(TreeSet<Integer> found, boolean begun) {
      String name = begun + ":" + found;
      if (!places.containsKey(name)) {
        int[] out = new int[found.size()];
        int at = 0;
        for (int place : found) out[at++] = place;
        places.put(name, out);
      }
      return name;
    }
  }

  /** A finite list of words: a state is what has been read while a word goes on so. */
  private static final class Words implements Machine {
    private final Set<String> words;
    private final Set<String> begun = new HashSet<>();

    Words(List<String> words) {
      this.words = new HashSet<>(words);
      for (String word : words) {
        for (int at = 0; at < word.length(); at += Character.charCount(word.codePointAt(at))) {
          begun.add(word.substring(0, at));
        }
        begun.add(word);
      }
    }

    @Override
    public String start() {
      return "at ";
    }

    @Override
    public Set<Integer> edges() {
      Set<Integer> out = new TreeSet<>();
      for (String word : words) {
        for (int code : word.codePoints().toArray()) {
          out.add(code);
          out.add(code + 1);
        }
      }
      return out;
    }

    @Override
    public boolean accepts(String state) {
      return !state.equals(END) && words.contains(state.substring(3));
    }

    @Override
    public String after(String state, int code) {
      if (state.equals(END)) return END;
      String longer = state.substring(3) + new String(Character.toChars(code));
      return begun.contains(longer) ? "at " + longer : END;
    }
  }

  private Automaton() {}

  /**
   * Whether there is a text of {@code least} to {@code most} (null: any number of) code points that {@code pattern}
   * (null: any) finds and {@code refusedBy} does not allow: another pattern, or the only words that are allowed, or
   * null. Null where finding out would take too long.
   */
  static Boolean allows(Pattern pattern, long least, Long most, Pattern refusedBy, List<String> words) {
    try {
      Steps steps = new Steps();
      List<Machine> machines = new ArrayList<>();
      if (pattern != null) machines.add(new PatternMachine(pattern, steps));
      if (refusedBy != null) machines.add(new PatternMachine(refusedBy, steps));
      if (words != null) machines.add(new Words(words));
      return walk(machines, pattern != null, least, most, steps);
    } catch (Undecided error) {
      return null;
    }
  }

  /** Level by level, a level a length; from {@code least} on, a state that was there before leads nowhere new. */
  private static boolean walk(List<Machine> machines, boolean firstIsWanted, long least, Long most, Steps steps)
      throws Undecided {
    List<Integer> codes = representatives(machines);
    List<String> start = new ArrayList<>();
    for (Machine machine : machines) start.add(machine.start());
    Set<List<String>> level = new LinkedHashSet<>();
    level.add(start);
    Set<List<String>> seen = new HashSet<>();
    for (long length = 0; !level.isEmpty() && (most == null || length <= most); length++) {
      if (length >= least) {
        for (List<String> states : level) if (wanted(machines, states, firstIsWanted)) return true;
        seen.addAll(level);
      }
      Set<List<String>> following = new LinkedHashSet<>();
      for (List<String> states : level) {
        for (int code : codes) {
          steps.take(1);
          List<String> reached = new ArrayList<>();
          for (int at = 0; at < machines.size(); at++) reached.add(machines.get(at).after(states.get(at), code));
          if (!seen.contains(reached)) following.add(reached);
        }
      }
      level = following;
    }
    return false;
  }

  private static boolean wanted(List<Machine> machines, List<String> states, boolean firstIsWanted) throws Undecided {
    for (int at = 0; at < machines.size(); at++) {
      if (machines.get(at).accepts(states.get(at)) != (at == 0 && firstIsWanted)) return false;
    }
    return true;
  }

  /** One code point of each class that the ranges tell apart, readable ones where there is a choice. */
  private static List<Integer> representatives(List<Machine> machines) {
    TreeSet<Integer> edges = new TreeSet<>(Arrays.asList(0, 0xd800, 0xe000));
    for (Machine machine : machines) edges.addAll(machine.edges());
    List<Integer> out = new ArrayList<>();
    for (int low : edges) {
      if (low > LAST || low >= 0xd800 && low < 0xe000) continue;
      Integer above = edges.higher(low);
      int following = above == null ? LAST + 1 : above;
      int nice = -1;
      for (int at = 0; at < PREFERRED.length() && nice < 0; at++) {
        char code = PREFERRED.charAt(at);
        if (low <= code && code < following) nice = code;
      }
      out.add(nice >= 0 ? nice : Math.max(low, Math.min(0x20, following - 1)));
    }
    out.sort((left, right) -> rank(left) != rank(right) ? rank(left) - rank(right) : left - right);
    return out;
  }

  private static int rank(int code) {
    int place = PREFERRED.indexOf(code);
    return place < 0 ? PREFERRED.length() - 1 : place;
  }
}
