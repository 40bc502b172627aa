/** How a worker answers what a page asks of it: `{id, call, argument}` in, `{id, result}` or `{id, error}` out. */

import { FivefoldError } from "./contract/index.js";

type CallTable<Argument> = Readonly<Record<string, (argument: Argument) => Promise<unknown>>>;

/** Answer by these functions, each call for itself and in whatever order they end; what one throws goes to its caller. */
export function answerCalls(calls: CallTable<never>): void {
  self.addEventListener("message", (event: MessageEvent<{ id: number; call: string; argument: never }>) => {
    const { id, call, argument } = event.data;
    void (async () => {
      try {
        postMessage({ id, result: await calls[call]!(argument) });
      } catch (error) {
        const body = error instanceof FivefoldError ? error.toJSON() : { code: "internal", error: error instanceof Error ? error.message : String(error), path: "" };
        postMessage({ id, error: body });
      }
    })();
  });
}
