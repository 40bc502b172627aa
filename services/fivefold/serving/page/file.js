// A file of rows: dropped or chosen, sent in batches, its answers and refusals as tables and to save.

import * as api from "./api.js";
import { Answers, fitsCsv } from "./answers.js";
import { brief, byId, el, parse } from "./dom.js";
import { members } from "./exact-slices.js";
import { format, instances, Malformed } from "./records.js";
import { Score } from "./score.js";

const MOST_BYTES = 1024 ** 3;
const SHOWN = 50; // rows of each table
const ELEMENTS = 4; // of an array, in a table

const count = (number, noun) => `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;

function short(text) {
  const value = parse(text);
  if (!Array.isArray(value)) return brief(value);
  const flat = value.flat(Infinity);
  return flat.slice(0, ELEMENTS).map(brief).join(", ") + (flat.length > ELEMENTS ? ", …" : "");
}

function table(title, heads, rows, all) {
  const labelled = rows.map(([line, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, line), cells.map((cell, at) => el("td", { "data-label": heads[at + 1] }, cell))),
  );
  const which = rows.length < all ? `the first ${rows.length} of ${all.toLocaleString("en-GB")}` : String(all);
  return el(
    "div",
    { class: "scroll", role: "region", "aria-label": title, tabindex: 0 },
    el(
      "table",
      {},
      el("caption", {}, title, el("span", { class: "count" }, which)),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, labelled),
    ),
  );
}

/** The card. */
export class FileCard {
  #run = null; // {abort, file, contract, answers, rows, refusedRows, read, done, ignored, first, refused}

  /** `unauthenticated(error)` asks for another key. */
  constructor(unauthenticated) {
    this.unauthenticated = unauthenticated;
    byId("file-cancel").addEventListener("click", () => this.#run.abort.abort());
    byId("file-jsonl").addEventListener("click", () => this.#save("jsonl", this.#run.answers.jsonLines()));
    byId("file-csv").addEventListener("click", async () => this.#save("csv", await this.#run.answers.csv(this.#run.contract)));
  }

  /** End what is under way, and show nothing of it. */
  close() {
    this.#run?.abort.abort();
    this.#run = null;
    byId("file-run").hidden = true;
  }

  /** Send a file's rows to the model that is `opened` and show what comes back; while one is under way no other is taken. */
  async take(file, { model, version, versions, contract, about }) {
    if (this.#run && !this.#run.done) return;
    const abort = new AbortController();
    const run = { abort, file, contract, answers: new Answers(), rows: 0, refusedRows: 0, read: 0, done: false, ignored: [], first: [], refused: [] };
    this.#run = run;
    byId("file-run").hidden = false;
    this.#trouble();
    this.#draw(run);
    const send = async (body, signal) => {
      const { predictions, bundle } = await api.score(model, version, versions?.chosen, body, signal);
      // Answers of two models would stand in one file, and nobody could tell them apart.
      if (bundle !== about.bundle) throw new Malformed("the server has another bundle under this version now", { code: "bundle_changed", help: "load the page again" });
      return predictions;
    };
    const score = new Score(send, contract, (error) => this.#stopped(run, error), abort.signal);
    try {
      if (file.size > MOST_BYTES) throw new Malformed("expected a file of at most 1 GiB", { code: "too_large", help: "fivefold score reads files of any size" });
      const given = instances(file, format(file.name), contract, (ignored) => (run.ignored = ignored));
      for await (const { outcomes, read } of score.groups(given)) this.#add(run, outcomes, read);
      run.said = "All rows have been sent.";
    } catch (error) {
      run.said = abort.signal.aborted ? "Cancelled: what follows has not been sent." : "What follows has not been sent.";
      if (!abort.signal.aborted && run === this.#run) this.#trouble(error);
    }
    run.done = true;
    if (run === this.#run) this.#draw(run);
  }

  #add(run, outcomes, read) {
    run.answers.add(outcomes);
    const refused = outcomes.filter((outcome) => outcome.refused);
    run.rows += outcomes.length;
    run.refusedRows += refused.length;
    run.read = read;
    run.refused.push(...refused.slice(0, SHOWN - run.refused.length));
    run.first.push(...outcomes.filter((outcome) => !outcome.refused).slice(0, SHOWN - run.first.length));
    if (run === this.#run) this.#draw(run);
  }

  /** Say why sending has stopped, and wait for the word to go on, or for the end. */
  #stopped(run, error) {
    if (error.status === 401) this.unauthenticated(error);
    return new Promise((resolve) => {
      const on = () => {
        if (run === this.#run) this.#trouble();
        resolve();
      };
      run.abort.signal.addEventListener("abort", on);
      if (run === this.#run) this.#trouble(error, el("button", { type: "button", class: "quiet", onclick: on }, "Go on"));
    });
  }

  #trouble(error, ...more) {
    const box = byId("file-trouble");
    box.hidden = !error;
    if (!error) return;
    const help = error.help || error.body?.help;
    const known = error instanceof Malformed || error instanceof api.Refused;
    const words = known ? error.message : `The file cannot be read: ${error.message}`;
    box.replaceChildren(el("span", {}, words, help ? ` help: ${help}` : "", error.code && el("code", {}, ` ${error.code}`)), ...more);
  }

  #draw(run) {
    const answered = run.rows - run.refusedRows;
    const ignored = run.ignored.length ? ` Columns that the contract does not have are left out: ${run.ignored.join(", ")}.` : "";
    byId("file-state").textContent = `${run.file.name}: ${count(run.rows, "row")}, ${answered.toLocaleString("en-GB")} answered, ${run.refusedRows.toLocaleString("en-GB")} refused. ${run.done ? run.said : ""}${ignored}`;
    byId("file-progress").hidden = run.done;
    byId("file-progress").value = run.file.size ? run.read / run.file.size : 0;
    byId("file-cancel").hidden = run.done;
    byId("file-input").disabled = !run.done;
    byId("file-jsonl").hidden = !run.done || !run.rows;
    byId("file-csv").hidden = !run.done || !run.rows || !fitsCsv(run.contract);
    this.#tables(run, answered);
  }

  #tables(run, answered) {
    const names = run.contract.outputs.map(({ name }) => name);
    const answers = run.first.map(({ line, answer }) => {
      const of = members(answer);
      return [line, ...names.map((name) => short(of.get(name)))];
    });
    const refusals = run.refused.map(({ line, refused: [{ code, path, error }, ...more] }) => [
      line,
      el("code", {}, code),
      el("code", {}, path),
      more.length ? `${error} (and ${more.length} more)` : error,
    ]);
    byId("file-tables").replaceChildren(
      ...[
        refusals.length && table("Refused rows", ["Line", "Code", "Path", "Message"], refusals, run.refusedRows),
        answers.length && table("Answers", ["Line", ...names], answers, answered),
      ].filter(Boolean),
    );
  }

  #save(suffix, blob) {
    const address = URL.createObjectURL(blob);
    const name = this.#run.file.name.replace(/\.[^.]+$/, "");
    el("a", { href: address, download: `${name}.answers.${suffix}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}
