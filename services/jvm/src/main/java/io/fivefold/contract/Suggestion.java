package io.fivefold.contract;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The known name that a misspelt one probably means, found as the server finds it.
 *
 * What it costs is bounded: letters are counted for all known names, and only the few that have most in common are
 * compared, by Ratcliff and Obershelp's matching blocks as Python's difflib counts them.
 */
final class Suggestion {
  /** Characters of a name that are looked at. */
  private static final int LONGEST = 128;
  /** The share of two names that must be the same. */
  private static final double ALIKE = 0.6;
  private static final int CLOSEST = 8;
  private static final int COMPARED = 24;

  private final String other;
  private final int[] points;
  private final double alike;

  private Suggestion(String other, int[] mine, int[] counted) {
    this.other = other;
    points = points(other);
    int[] counts = letters(points);
    int shared = 0;
    for (int at = 0; at < 64; at++) shared += Math.min(counts[at], counted[at]);
    alike = 2.0 * shared / (points.length + mine.length);
  }

  /** A help line that names the known name closest to a misspelt one, or null. */
  static String nearest(String name, Collection<String> known) {
    int[] mine = points(name);
    if (mine.length == 0) return null;
    int[] counted = letters(mine);
    List<Suggestion> candidates = new ArrayList<>();
    for (String each : known) candidates.add(new Suggestion(each, mine, counted));
    candidates.sort((left, right) -> Double.compare(right.alike, left.alike));
    String best = "";
    double most = 0;
    for (Suggestion each : candidates.subList(0, Math.min(CLOSEST, candidates.size()))) {
      if (each.alike < ALIKE) continue;
      double found = ratio(mine, each.points);
      if (found > most || found == most && Text.comparePoints(each.other, best) > 0) {
        most = found;
        best = each.other;
      }
    }
    return most >= ALIKE ? "did you mean " + Text.named(Text.firstPoints(best, LONGEST)) + "?" : null;
  }

  private static int[] points(String text) {
    String begun = Text.firstPoints(text, LONGEST);
    int[] out = new int[Text.codePoints(begun)];
    for (int at = 0, index = 0; at < begun.length(); at += Character.charCount(out[index++])) {
      out[index] = begun.codePointAt(at);
    }
    return out;
  }

  /** How often each letter is there, letters being one of 64 by their code. */
  private static int[] letters(int[] points) {
    int[] out = new int[64];
    for (int point : points) out[point % 64]++;
    return out;
  }

  private static double ratio(int[] left, int[] right) {
    int both = left.length + right.length;
    int least = Math.min(left.length, right.length);
    int start = 0;
    while (start < least && left[start] == right[start]) start++;
    int end = 0;
    while (end < least - start && left[left.length - 1 - end] == right[right.length - 1 - end]) end++;
    int[] one = Arrays.copyOfRange(left, start, Math.min(left.length - end, start + COMPARED));
    int[] other = Arrays.copyOfRange(right, start, Math.min(right.length - end, start + COMPARED));
    return 2.0 * (start + end + matching(one, other)) / both;
  }

  /** What two texts have in common: their longest common block, and so on left and right of it. */
  private static int matching(int[] left, int[] right) {
    int size = 0;
    int fromLeft = 0;
    int fromRight = 0;
    Map<Integer, Integer> lengths = new HashMap<>();
    for (int at = 0; at < left.length; at++) {
      Map<Integer, Integer> following = new HashMap<>();
      for (int other = 0; other < right.length; other++) {
        if (left[at] != right[other]) continue;
        Integer before = lengths.get(other - 1);
        int length = (before == null ? 0 : before) + 1;
        following.put(other, length);
        if (length > size) {
          size = length;
          fromLeft = at - length + 1;
          fromRight = other - length + 1;
        }
      }
      lengths = following;
    }
    if (size == 0) return 0;
    int[] leftRest = Arrays.copyOfRange(left, fromLeft + size, left.length);
    int[] rightRest = Arrays.copyOfRange(right, fromRight + size, right.length);
    int before = matching(Arrays.copyOf(left, fromLeft), Arrays.copyOf(right, fromRight));
    return size + before + matching(leftRest, rightRest);
  }
}
