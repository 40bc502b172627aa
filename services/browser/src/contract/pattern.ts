/**
 * The portable subset of regular expressions: parsed as the server parses it, and matched in linear time.
 *
 * A pattern becomes a small program (Thompson's construction, as in K. Thompson, "Regular Expression Search Algorithm",
 * 1968) whose places are walked together, with search semantics. JavaScript's own engine would backtrack, so that a
 * value could decide how long its own check takes, and refuses some of what RE2 takes.
 */

import { ContractInvalid } from "./errors.js";
import { named, wellFormed } from "./text.js";

/** RE2's own limit on a repeat count, nested counts multiplied. */
const MAX_REPEAT = 1000;

type Range = readonly [number, number];

type Node =
  | { readonly kind: "set"; readonly ranges: readonly Range[]; readonly negated: boolean }
  | { readonly kind: "begin" | "end" }
  | { readonly kind: "series"; readonly parts: readonly Node[] }
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  | { readonly kind: "repeat"; readonly part: Node; readonly low: number; readonly high: number };

export type Operation =
  | { readonly kind: "set"; readonly ranges: readonly Range[]; readonly negated: boolean }
  | { readonly kind: "begin" | "end" | "match" }
  | { readonly kind: "split"; to: readonly number[] };

const DIGIT: readonly Range[] = [[0x30, 0x39]];
const WORD: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const CONTROL: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09 };
const SYNTAX = "^$\\.*+?()[]{}|/-";

/** A parsed pattern. */
export class Pattern {
  private compiled: readonly Operation[] | undefined;

  private constructor(
    readonly text: string,
    private readonly tree: Node,
  ) {}

  /** Parse `text`, which stands at `path` of the contract; throws `ContractInvalid` with the offset of what is no part of
   * the subset. */
  static parse(text: string, path = "pattern"): Pattern {
    return new Pattern(text, new PatternParser(text, path).parse());
  }

  /** The places of its program; the last one is the match. */
  get program(): readonly Operation[] {
    return (this.compiled ??= compile(this.tree));
  }

  /** Whether the pattern is found anywhere in the text. */
  matches(text: string): boolean {
    return new Search(this.program).find(text);
  }
}

/** One walk through a text: the places that are reached, as a list without repeats. */
class Search {
  private places: number[] = [];
  private following: number[] = [];
  private readonly seen: Uint32Array;
  private generation = 0;

  constructor(private readonly program: readonly Operation[]) {
    this.seen = new Uint32Array(program.length);
  }

  find(text: string): boolean {
    let at = 0;
    for (;;) {
      const ended = at >= text.length;
      // A match may begin anywhere: the program's start is reached anew at every character.
      this.generation++;
      this.following = [];
      for (const place of this.places) if (this.reach(place, at === 0, ended)) return true;
      if (this.reach(0, at === 0, ended)) return true;
      if (ended) return false;
      const code = text.codePointAt(at)!;
      at += code > 0xffff ? 2 : 1;
      this.places = [];
      for (const place of this.following) {
        const operation = this.program[place]!;
        if (operation.kind === "set" && inside(operation, code)) this.places.push(place + 1);
      }
    }
  }

  /** Take down every place that waits for a character and is reached without one; whether the match is among them. */
  private reach(start: number, beginning: boolean, ended: boolean): boolean {
    const stack = [start];
    while (stack.length) {
      const place = stack.pop()!;
      if (this.seen[place] === this.generation) continue;
      this.seen[place] = this.generation;
      const operation = this.program[place]!;
      if (operation.kind === "match") return true;
      if (operation.kind === "set") this.following.push(place);
      else if (operation.kind === "split") stack.push(...operation.to);
      else if (operation.kind === "begin" ? beginning : ended) stack.push(place + 1);
    }
    return false;
  }
}

/** Whether a set takes a code point. */
export function inside(set: { readonly ranges: readonly Range[]; readonly negated: boolean }, code: number): boolean {
  return set.ranges.some(([low, high]) => low <= code && code <= high) !== set.negated;
}

function compile(tree: Node): readonly Operation[] {
  const program: Operation[] = [];
  const emit = (node: Node): void => {
    switch (node.kind) {
      case "set":
      case "begin":
      case "end":
        program.push(node);
        break;
      case "series":
        node.parts.forEach(emit);
        break;
      case "choice": {
        const jumps: { kind: "split"; to: readonly number[] }[] = [];
        node.options.forEach((option, index) => {
          if (index === node.options.length - 1) return emit(option);
          const split = { kind: "split" as const, to: [] as readonly number[] };
          program.push(split);
          const start = program.length;
          emit(option);
          const jump = { kind: "split" as const, to: [] as readonly number[] };
          program.push(jump);
          jumps.push(jump);
          split.to = [start, program.length];
        });
        for (const jump of jumps) jump.to = [program.length];
        break;
      }
      case "repeat": {
        for (let count = 0; count < node.low; count++) emit(node.part);
        const splits: { split: { kind: "split"; to: readonly number[] }; start: number }[] = [];
        for (let count = node.low; count < node.high; count++) {
          const split = { kind: "split" as const, to: [] as readonly number[] };
          program.push(split);
          splits.push({ split, start: program.length });
          emit(node.part);
        }
        for (const { split, start } of splits) split.to = [start, program.length];
      }
    }
  };
  emit(tree);
  program.push({ kind: "match" });
  return program;
}

/** Recursive descent over the subset; everything outside it is refused with its offset in code points. */
class PatternParser {
  private readonly points: readonly string[];
  private at = 0;
  private depth = 0;

  constructor(
    private readonly text: string,
    private readonly path: string,
  ) {
    this.points = Array.from(text);
  }

  parse(): Node {
    if (!wellFormed(this.text)) throw this.refuse("a lone surrogate is not a character");
    const [tree] = this.choice();
    if (this.at < this.points.length) throw this.refuse("unmatched )");
    return tree;
  }

  private refuse(why: string, help?: string): ContractInvalid {
    return new ContractInvalid(`${why} at offset ${this.at} of ${named(this.text)}`, { path: this.path, help });
  }

  private peek(ahead = 0): string {
    return this.points[this.at + ahead] ?? "";
  }

  private take(): string {
    const point = this.peek();
    this.at++;
    return point;
  }

  private choice(): [Node, number] {
    const options: Node[] = [];
    let repeats = 1;
    for (;;) {
      const parts: Node[] = [];
      while (!["", "|", ")"].includes(this.peek())) {
        const [part, times] = this.term();
        parts.push(part);
        repeats = Math.max(repeats, times);
      }
      options.push({ kind: "series", parts });
      if (this.peek() !== "|") return [{ kind: "choice", options }, repeats];
      this.at++;
    }
  }

  private term(): [Node, number] {
    const [part, inner] = this.atom();
    const following = this.peek();
    let low = 0;
    let high = 1;
    if (following === "?") this.at++;
    else if (following === "{") [low, high] = this.counts();
    else if (following === "*" || following === "+") {
      const bound = `give it a bound, such as {${following === "+" ? 1 : 0},64}`;
      throw this.refuse(`the unbounded repeat '${following}'`, bound);
    } else return [part, inner];
    if (part.kind === "begin" || part.kind === "end") throw this.refuse("a repeated anchor");
    if (["?", "{", "*", "+"].includes(this.peek())) {
      throw this.refuse("a repeat of a repeat", "put the inner one into a group");
    }
    const times = inner * Math.max(high, 1);
    if (times > MAX_REPEAT) throw this.refuse(`more than ${MAX_REPEAT} repeats`);
    return [{ kind: "repeat", part, low, high }, times];
  }

  private counts(): [number, number] {
    const end = this.points.indexOf("}", this.at);
    const [, low, comma, high] = /^(.*?)(?:(,)(.*))?$/su.exec(
      end > 0 ? this.points.slice(this.at + 1, end).join("") : "",
    ) as unknown as [string, string, string | undefined, string | undefined];
    const digits = /^[0-9]+$/;
    if (!digits.test(low) || (comma && high && !digits.test(high))) {
      throw this.refuse("expected {n} or {n,m}", "write a literal brace as \\{");
    }
    if (comma && !high) throw this.refuse("the unbounded repeat {n,}", "give it an upper bound: {n,m}");
    const most = Number(high || low);
    if (low.length > 4 || (high ?? "").length > 4 || most > MAX_REPEAT || Number(low) > most) {
      throw this.refuse(`expected a repeat of at most ${MAX_REPEAT}, the smaller count first`);
    }
    this.at = end + 1;
    return [Number(low), most];
  }

  private atom(): [Node, number] {
    const character = this.take();
    if (character === "(") return this.group();
    if (character === "[") return [this.set(), 1];
    if (character === ".") return [{ kind: "set", ranges: [[0x0a, 0x0a]], negated: true }, 1];
    if (character === "^") return [{ kind: "begin" }, 1];
    if (character === "$") return [{ kind: "end" }, 1];
    if (character === "\\") return [one(this.escape()), 1];
    if ("*+?{}]".includes(character)) {
      this.at--;
      throw this.refuse(`'${character}' has nothing to act on`, `write a literal one as \\${character}`);
    }
    return [one(character.codePointAt(0)!), 1];
  }

  private group(): [Node, number] {
    if (this.peek() === "?" && this.peek(1) === ":") this.at += 2;
    else if (this.peek() === "?") throw this.refuse("flags, look-around and named groups are outside the subset");
    this.depth++;
    if (this.depth > 50) throw this.refuse("more than 50 nested groups");
    const found = this.choice();
    if (this.take() !== ")") throw this.refuse("a group that is never closed");
    this.depth--;
    return found;
  }

  private escape(): number | readonly Range[] {
    const character = this.take();
    if (character === "d") return DIGIT;
    if (character === "w") return WORD;
    if (Object.hasOwn(CONTROL, character)) return CONTROL[character]!;
    if (character && SYNTAX.includes(character)) return character.charCodeAt(0);
    this.at--;
    throw this.refuse(`the escape \\${character} is outside the subset`);
  }

  private set(): Node {
    const negated = this.peek() === "^";
    if (negated) this.at++;
    const ranges: Range[] = [];
    for (let character = this.take(); character !== "]"; character = this.take()) {
      if (!character) throw this.refuse("a class that is never closed");
      if (character === "[") throw this.refuse("[ inside a class", "write it as \\[");
      const low = character === "\\" ? this.escape() : character.codePointAt(0)!;
      if (typeof low !== "number") {
        ranges.push(...low);
        continue;
      }
      let high = low;
      if (this.peek() === "-" && this.peek(1) !== "]" && this.peek(1) !== "") {
        this.at++;
        const upper = this.take();
        const end = upper === "\\" ? this.escape() : upper.codePointAt(0)!;
        if (typeof end !== "number" || end < low) throw this.refuse("a range whose end comes before its start");
        high = end;
      }
      ranges.push([low, high]);
    }
    if (!ranges.length) throw this.refuse("an empty class");
    return { kind: "set", ranges, negated };
  }
}

function one(item: number | readonly Range[]): Node {
  return { kind: "set", ranges: typeof item === "number" ? [[item, item]] : item, negated: false };
}
