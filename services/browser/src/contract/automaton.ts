/**
 * The texts that a field allows, as a language: is there one that another field refuses?
 *
 * The programs of both patterns are walked together, level by level. The walk is bounded, and counted as the server counts
 * it, so that both say `undecided` of the same questions.
 */

import { inside, type Operation, type Pattern } from "./pattern.js";

const BUDGET = 200_000;
const LAST = 0x10ffff;
const PREFERRED = "a0A _-.b1!~";

class Undecided extends Error {}

class Steps {
  private left = BUDGET;

  take(count: number): void {
    this.left -= count;
    if (this.left < 0) throw new Undecided();
  }
}

/** A state has a name by which states are known; `null` is the end of every hope, or of every doubt. */
interface Automaton<S> {
  readonly start: S;
  ranges(): Iterable<readonly [number, number]>;
  accepts(state: S): boolean;
  after(state: S, code: number): S;
  name(state: S): string;
}

interface Reached {
  readonly places: readonly number[];
  readonly begun: boolean;
  readonly name: string;
}

/** A pattern's automaton; `null` is the state in which it is found, whatever follows. */
class PatternAutomaton implements Automaton<Reached | null> {
  readonly start: Reached | null;
  private readonly program: readonly Operation[];
  private readonly again: Reached | null;

  constructor(
    pattern: Pattern,
    private readonly steps: Steps,
  ) {
    this.program = pattern.program;
    steps.take(this.program.length);
    this.start = this.close([0], false);
    this.again = this.close([0], true);
  }

  *ranges(): Iterable<readonly [number, number]> {
    for (const operation of this.program) if (operation.kind === "set") yield* operation.ranges;
  }

  accepts(state: Reached | null): boolean {
    if (!state) return true;
    const ends = state.places.filter((place) => this.program[place]!.kind === "end").map((place) => place + 1);
    return ends.length > 0 && this.close(ends, state.begun, true) === null;
  }

  after(state: Reached | null, code: number): Reached | null {
    if (!state) return null;
    this.steps.take(state.places.length + 1);
    const reached: number[] = [];
    for (const place of state.places) {
      const operation = this.program[place]!;
      if (operation.kind === "set" && inside(operation, code)) reached.push(place + 1);
    }
    const following = this.close(reached, true);
    return following && this.again && named([...following.places, ...this.again.places], true);
  }

  name(state: Reached | null): string {
    return state ? state.name : "found";
  }

  /** The places reachable without a character that wait for one, or for the end; null where the match is found. */
  private close(places: readonly number[], begun: boolean, ended = false): Reached | null {
    const waiting: number[] = [];
    const seen = new Set<number>();
    const stack = [...places];
    while (stack.length) {
      const place = stack.pop()!;
      if (seen.has(place)) continue;
      seen.add(place);
      const operation = this.program[place]!;
      if (operation.kind === "match") return null;
      if (operation.kind === "split") stack.push(...operation.to);
      else if ((operation.kind === "begin" && !begun) || (operation.kind === "end" && ended)) stack.push(place + 1);
      else if (operation.kind !== "begin") waiting.push(place);
    }
    this.steps.take(seen.size);
    return named(waiting, begun);
  }
}

function named(places: readonly number[], begun: boolean): Reached {
  const sorted = [...new Set(places)].sort((left, right) => left - right);
  return { places: sorted, begun, name: `${begun}:${sorted.join(",")}` };
}

/** A finite list of words: a state is what has been read while a word goes on so, else null. */
class Words implements Automaton<string | null> {
  readonly start = "";
  private readonly words: ReadonlySet<string>;
  private readonly begun = new Set<string>();

  constructor(words: readonly string[]) {
    this.words = new Set(words);
    for (const word of words) {
      let prefix = "";
      this.begun.add(prefix);
      for (const character of word) this.begun.add((prefix += character));
    }
  }

  *ranges(): Iterable<readonly [number, number]> {
    for (const character of new Set([...this.words].join(""))) {
      const code = character.codePointAt(0)!;
      yield [code, code];
    }
  }

  accepts(state: string | null): boolean {
    return state !== null && this.words.has(state);
  }

  after(state: string | null, code: number): string | null {
    const longer = state === null ? null : state + String.fromCodePoint(code);
    return longer !== null && this.begun.has(longer) ? longer : null;
  }

  name(state: string | null): string {
    return state === null ? "lost" : `at ${state}`;
  }
}

/**
 * Whether there is a text of `least` to `most` code points that `pattern` finds and `refusedBy` does not allow: another
 * pattern, or the only words that are allowed. `undefined` where finding out would take too long.
 */
export function allows(
  pattern: Pattern | undefined,
  least: number,
  most: number | undefined,
  refusedBy: Pattern | readonly string[] | undefined,
): boolean | undefined {
  try {
    const steps = new Steps();
    const machines: Automaton<unknown>[] = [];
    const wanted: boolean[] = [];
    if (pattern) {
      machines.push(new PatternAutomaton(pattern, steps) as Automaton<unknown>);
      wanted.push(true);
    }
    if (refusedBy) {
      const machine = Array.isArray(refusedBy) ? new Words(refusedBy) : new PatternAutomaton(refusedBy as Pattern, steps);
      machines.push(machine as Automaton<unknown>);
      wanted.push(false);
    }
    return walk(machines, wanted, least, most, steps);
  } catch (error) {
    if (error instanceof Undecided) return undefined;
    throw error;
  }
}

/** Level by level, a level a length; from `least` on, a state that was there before leads nowhere new. */
function walk(
  machines: readonly Automaton<unknown>[],
  wanted: readonly boolean[],
  least: number,
  most: number | undefined,
  steps: Steps,
): boolean {
  const codes = representatives(machines.flatMap((machine) => [...machine.ranges()]));
  const nameOf = (states: readonly unknown[]): string =>
    states.map((state, at) => machines[at]!.name(state)).join("\u0000");
  const start = machines.map((machine) => machine.start);
  let level = new Map<string, readonly unknown[]>([[nameOf(start), start]]);
  const seen = new Set<string>();
  for (let length = 0; level.size && (most === undefined || length <= most); length++) {
    if (length >= least) {
      for (const states of level.values()) {
        if (machines.every((machine, at) => machine.accepts(states[at]) === wanted[at])) return true;
      }
      for (const name of level.keys()) seen.add(name);
    }
    const following = new Map<string, readonly unknown[]>();
    for (const states of level.values()) {
      for (const code of codes) {
        steps.take(1);
        const reached = machines.map((machine, at) => machine.after(states[at], code));
        const name = nameOf(reached);
        if (!following.has(name) && !seen.has(name)) following.set(name, reached);
      }
    }
    level = following;
  }
  return false;
}

/** One code point of each class that the ranges tell apart, readable ones where there is a choice. */
function representatives(ranges: readonly (readonly [number, number])[]): readonly number[] {
  const edges = [...new Set([0, 0xd800, 0xe000, ...ranges.flatMap(([low, high]) => [low, high + 1])])];
  edges.sort((left, right) => left - right);
  const out: number[] = [];
  edges.forEach((low, index) => {
    if (low > LAST || (low >= 0xd800 && low < 0xe000)) return;
    const following = edges[index + 1] ?? LAST + 1;
    const nice = [...PREFERRED].map((character) => character.charCodeAt(0)).find((code) => low <= code && code < following);
    out.push(nice ?? Math.max(low, Math.min(0x20, following - 1)));
  });
  const rank = (code: number): number => {
    const place = PREFERRED.indexOf(String.fromCodePoint(code));
    return place < 0 ? PREFERRED.length - 1 : place;
  };
  return out.sort((left, right) => rank(left) - rank(right) || left - right);
}
