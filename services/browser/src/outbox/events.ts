/**
 * Answered rows as the events that a hub takes: one a row, each value as the very text that came and went.
 */

import { topMembers } from "../runtime/golden.js";
import { uuid7 } from "./outbox.js";

/** What an event says of its model. */
export interface EventFacts {
  readonly model: string;
  readonly version: string;
  readonly contract: string;
  readonly bundle: string;
}

/** The events of a V1 request by rows and its answer, both as JSON text. */
export function eventsOf(body: string, answer: string, facts: EventFacts, now = Date.now()): string[] {
  const given = elements(topMembers(body).get("instances") ?? "[]");
  const answers = elements(topMembers(answer).get("predictions") ?? "[]");
  const told = Object.entries(facts).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return answers.map((output, row) => {
    const input = given[row]!;
    const members = [
      `"id":${JSON.stringify(uuid7(now))}`,
      `"at":${JSON.stringify(new Date(now).toISOString())}`,
      `"kind":"prediction"`,
      ...told,
      `"input":${oneLine(input)}`,
      `"output":${output}`,
    ];
    return `{${members.join(",")}}`;
  });
}

/** The elements of a JSON array, each as its text. */
export function elements(text: string): string[] {
  const token = /"(?:[^"\\]|\\.)*"|[[\]{},]/g;
  const out: string[] = [];
  let depth = 0;
  let start = text.indexOf("[") + 1;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [word] = match;
    if ((word === "," && depth === 1) || (word === "]" && depth === 1)) {
      const element = text.slice(start, match.index).trim();
      if (element) out.push(element);
      start = token.lastIndex;
    }
    if (word === "{" || word === "[") depth += 1;
    else if (word === "}" || word === "]") depth -= 1;
  }
  return out;
}

/** JSON text without line ends between its tokens: a line of the protocol is one line. */
const oneLine = (text: string): string => text.replace(/"(?:[^"\\]|\\.)*"|[\r\n]+/g, (token) => (token[0] === '"' ? token : ""));
