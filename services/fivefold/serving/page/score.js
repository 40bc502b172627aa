// Instances to answers, in their order: sent together, and where a request is refused because of some rows, those alone.
//
// Whether a row is good is the server's to say: each refusal here is its answer to a request with that row alone. An answer
// that says nothing of the rows (the server is busy, or gone, or asks for a key) is never taken for a refusal of one.

const ROWS = 500;
const BYTES = 1024 * 1024; // of a request's text, unless one row has more
const TRIES = 5;
const FIRST_WAIT = 500;

const OF_ROWS = new Set([400, 413, 422]);
const PASSING = new Set([0, 408, 429, 502, 503, 504]);

// A proxy in front that refuses a request in its own words has no code; too large, it may be all the same.
const ofRows = ({ status, code }) => status === 413 || (OF_ROWS.has(status) && code !== "") || code === "model_failed";

/** The places in a request of the rows that a refusal names. */
function named(error, rows) {
  const places = error.details.map(({ path = "" }) => Number(/^inputs(?:\[(\d+)\]$|\..*?\[(\d+)\])/.exec(path)?.slice(1).find(Boolean) ?? NaN));
  return new Set(places.filter((place) => place < rows));
}

/** What one row was refused with, without the number that it had in its request: `{code, path, error, help}` of each violation. */
function violations(error, contract) {
  const all = error.details.length ? error.details : [{ ...error.body, code: error.code || "too_large", path: error.path, error: error.message }];
  const bare = (path) => {
    const name = contract.inputs.map((field) => `inputs.${field.name}`).find((each) => path.startsWith(`${each}[0]`));
    return path === "inputs[0]" ? "inputs" : name ? name + path.slice(name.length + 3) : path;
  };
  return all.map(({ code, path = "", error: said, help }) => ({ code, path: bare(path), error: said, ...(help && { help }) }));
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });

/** Sends the rows of one file. */
export class Score {
  #send;
  #contract;
  #stopped;
  #signal;

  /** `send(body, signal)` gives the texts of the predictions; `stopped(error)` is asked, and waited for, where sending cannot
   * go on by itself; `signal` ends everything, with an `AbortError`. */
  constructor(send, contract, stopped, signal) {
    this.#send = send;
    this.#contract = contract;
    this.#stopped = stopped;
    this.#signal = signal;
  }

  /** Groups of `{line, answer}`, the text of a prediction, or `{line, refused}`, violations; and `read`, of the group's last. */
  async *groups(instances) {
    let group = [];
    let bytes = 0;
    for await (const instance of instances) {
      const size = instance.text?.length ?? 0;
      if (group.length && (group.length === ROWS || bytes + size > BYTES)) {
        yield await this.#answered(group);
        [group, bytes] = [[], 0];
      }
      group.push(instance);
      bytes += size;
    }
    if (group.length) yield await this.#answered(group);
  }

  async #answered(group) {
    const out = group.map(({ line, refused }) => ({ line, refused: refused && [{ code: refused.code, path: refused.path, error: refused.message }] }));
    await this.#ask(group.flatMap(({ text }, at) => (text === undefined ? [] : [{ text, outcome: out[at] }])));
    return { outcomes: out, read: group.at(-1).read };
  }

  /** Answer rows: together, or those that a refusal names alone and the others again, or by halves where it names none. */
  async #ask(rows) {
    if (!rows.length) return;
    let error;
    try {
      const answers = await this.#sent(rows);
      rows.forEach(({ outcome }, at) => (outcome.answer = answers[at]));
      return;
    } catch (refused) {
      if (this.#signal.aborted || refused.status === undefined) throw refused;
      error = refused;
    }
    if (rows.length === 1) {
      rows[0].outcome.refused = violations(error, this.#contract);
      return;
    }
    const alone = named(error, rows.length);
    const half = rows.length >> 1;
    const parts = alone.size ? [...rows.filter((_, at) => alone.has(at)).map((row) => [row]), rows.filter((_, at) => !alone.has(at))] : [rows.slice(0, half), rows.slice(half)];
    for (const part of parts) await this.#ask(part);
  }

  /** The answers to a request; throws what it is refused with because of its rows, or because it takes too long with so many. */
  async #sent(rows) {
    const body = `{"instances": [\n${rows.map(({ text }) => text).join(",\n")}\n]}`;
    for (let tried = 1; ; tried += 1) {
      this.#signal.throwIfAborted();
      let answers;
      try {
        answers = await this.#send(body, this.#signal);
      } catch (error) {
        this.#signal.throwIfAborted();
        if (error.status === undefined) throw error;
        if (ofRows(error) || (error.code === "deadline_exceeded" && rows.length > 1)) throw error;
        if (PASSING.has(error.status) && tried < TRIES) {
          await pause(Math.max(error.retryAfter * 1000, FIRST_WAIT * 2 ** (tried - 1)), this.#signal);
        } else {
          await this.#stopped(error);
          tried = 0;
        }
        continue;
      }
      if (answers.length !== rows.length) throw new Error(`The server gave ${answers.length} predictions for ${rows.length} rows.`);
      return answers;
    }
  }
}
