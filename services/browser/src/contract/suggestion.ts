/**
 * The known name that a misspelt one probably means, found as the server finds it.
 *
 * What it costs is bounded: letters are counted for all known names, and only the few that have most in common are
 * compared, by Ratcliff and Obershelp's matching blocks as Python's difflib counts them.
 */

import { comparePoints, firstPoints, named } from "./text.js";

/** Characters of a name that are looked at. */
const LONGEST = 128;
/** The share of two names that must be the same. */
const ALIKE = 0.6;
const CLOSEST = 8;
const COMPARED = 24;

/** A help line that names the known name closest to a misspelt one, or undefined. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const mine = Array.from(firstPoints(name, LONGEST));
  if (!mine.length) return undefined;
  const counted = letters(mine);
  const candidates = Array.from(known, (other) => {
    const points = Array.from(firstPoints(other, LONGEST));
    const counts = letters(points);
    let shared = 0;
    for (let at = 0; at < 64; at++) shared += Math.min(counts[at]!, counted[at]!);
    return { other, points, alike: (2 * shared) / (points.length + mine.length) };
  });
  candidates.sort((left, right) => right.alike - left.alike);
  let best = "";
  let most = 0;
  for (const { other, points, alike } of candidates.slice(0, CLOSEST)) {
    if (alike < ALIKE) continue;
    const found = ratio(mine, points);
    if (found > most || (found === most && comparePoints(other, best) > 0)) [most, best] = [found, other];
  }
  return most >= ALIKE ? `did you mean ${named(firstPoints(best, LONGEST))}?` : undefined;
}

/** How often each letter is there, letters being one of 64 by their code. */
function letters(points: readonly string[]): Uint8Array {
  const out = new Uint8Array(64);
  for (const point of points) out[point.codePointAt(0)! % 64]!++;
  return out;
}

function ratio(left: readonly string[], right: readonly string[]): number {
  const both = left.length + right.length;
  if (!both) return 1;
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start++;
  const a = left.slice(start);
  const b = right.slice(start);
  let end = 0;
  while (end < a.length && end < b.length && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const between = matching(a.slice(0, a.length - end).slice(0, COMPARED), b.slice(0, b.length - end).slice(0, COMPARED));
  return (2 * (start + end + between)) / both;
}

/** What two texts have in common: their longest common block, and so on left and right of it. */
function matching(left: readonly string[], right: readonly string[]): number {
  let size = 0;
  let fromLeft = 0;
  let fromRight = 0;
  let lengths = new Map<number, number>();
  for (let at = 0; at < left.length; at++) {
    const following = new Map<number, number>();
    for (let other = 0; other < right.length; other++) {
      if (left[at] !== right[other]) continue;
      const length = (lengths.get(other - 1) ?? 0) + 1;
      following.set(other, length);
      if (length > size) [size, fromLeft, fromRight] = [length, at - length + 1, other - length + 1];
    }
    lengths = following;
  }
  if (!size) return 0;
  return (
    size +
    matching(left.slice(0, fromLeft), right.slice(0, fromRight)) +
    matching(left.slice(fromLeft + size), right.slice(fromRight + size))
  );
}
