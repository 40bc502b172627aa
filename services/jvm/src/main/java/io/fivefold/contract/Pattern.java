package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * The portable subset of regular expressions: parsed as the server parses it, and matched in linear time.
 *
 * A pattern becomes a small program (Thompson's construction, as in K. Thompson, "Regular Expression Search Algorithm",
 * 1968) whose places are walked together, with search semantics. Java's own engine would backtrack, so that a value
 * could decide how long its own check takes.
 */
final class Pattern {
  enum Step {
    SET,
    BEGIN,
    END,
    SPLIT,
    MATCH
  }

  /** One place of a program: what is taken there, or where it goes on without a character. */
  static final class Operation {
    final Step step;
    /** Of a set: code points from, to, from, to, … */
    final int[] ranges;
    final boolean negated;
    /** Of a split. */
    int[] to = {};

    Operation(Step step, int[] ranges, boolean negated) {
      this.step = step;
      this.ranges = ranges;
      this.negated = negated;
    }

    Operation(Step step) {
      this(step, new int[0], false);
    }

    /** Whether a set takes a code point. */
    boolean takes(int code) {
      for (int at = 0; at < ranges.length; at += 2) {
        if (ranges[at] <= code && code <= ranges[at + 1]) return !negated;
      }
      return negated;
    }
  }

  final String text;
  private final PatternParser.Node tree;
  private List<Operation> compiled;

  private Pattern(String text, PatternParser.Node tree) {
    this.text = text;
    this.tree = tree;
  }

  /**
   * Parse a pattern that stands at {@code path} of the contract; throws with the offset of what is no part of the
   * subset.
   */
  static Pattern parse(String text, String path) {
    return new Pattern(text, new PatternParser(text, path).parse());
  }

  /** The places of its program; the last one is the match. */
  synchronized List<Operation> program() {
    if (compiled == null) {
      List<Operation> made = new ArrayList<>();
      tree.emit(made);
      made.add(new Operation(Step.MATCH));
      compiled = Collections.unmodifiableList(made);
    }
    return compiled;
  }

  /** Whether the pattern is found anywhere in the text. */
  boolean matches(String text) {
    return new Search(program()).find(text);
  }

  /** A list of places that grows. */
  static final class Places {
    int[] items = new int[16];
    int count;

    void push(int place) {
      if (count == items.length) items = Arrays.copyOf(items, 2 * count);
      items[count++] = place;
    }

    void push(int[] places) {
      for (int place : places) push(place);
    }

    int pop() {
      return items[--count];
    }
  }

  /** One walk through a text: the places that are reached, without repeats. */
  private static final class Search {
    private final Operation[] program;
    private final int[] seen;
    private int generation;
    private Places places = new Places();
    private final Places following = new Places();
    private final Places stack = new Places();

    Search(List<Operation> program) {
      this.program = program.toArray(new Operation[0]);
      seen = new int[this.program.length];
    }

    boolean find(String text) {
      for (int at = 0; ; ) {
        boolean ended = at >= text.length();
        // A match may begin anywhere: the program's start is reached anew at every character.
        generation++;
        following.count = 0;
        for (int index = 0; index < places.count; index++) {
          if (reach(places.items[index], at == 0, ended)) return true;
        }
        if (reach(0, at == 0, ended)) return true;
        if (ended) return false;
        int code = text.codePointAt(at);
        at += Character.charCount(code);
        places.count = 0;
        for (int index = 0; index < following.count; index++) {
          int place = following.items[index];
          if (program[place].takes(code)) places.push(place + 1);
        }
      }
    }

    /** Take down every place that waits for a character and is reached without one; whether the match is among them. */
    private boolean reach(int start, boolean beginning, boolean ended) {
      stack.count = 0;
      stack.push(start);
      while (stack.count > 0) {
        int place = stack.pop();
        if (seen[place] == generation) continue;
        seen[place] = generation;
        Operation operation = program[place];
        if (operation.step == Step.MATCH) return true;
        if (operation.step == Step.SET) following.push(place);
        else if (operation.step == Step.SPLIT) stack.push(operation.to);
        else if (operation.step == Step.BEGIN ? beginning : ended) stack.push(place + 1);
      }
      return false;
    }
  }
}
