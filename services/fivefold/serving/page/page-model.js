// The same model in this page, beside the server: fetched as any caller may, run in a worker, and its answer compared.
// What the model needs to run here is the worker's to say (services/browser/src/model-worker.ts).

import * as api from "./api.js";
import { brief, byId, el, milliseconds, number, parse } from "./dom.js";

const AT_ONCE = 32e6; // bytes that are fetched without asking; more is a person's choice
const MOST_ROWS = 12;
const PATIENCE = 300_000;

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const difference = (x) => (x === 0 ? "equal" : Number.isFinite(x) ? x.toExponential(1) : "differs");

/** How far two values of a field are apart: 0 for equal ones, infinity for what is no distance of floats. */
function apart(field, ours, theirs) {
  if (JSON.stringify(ours) === JSON.stringify(theirs)) return 0;
  const [x, y] = [number(ours), number(theirs)];
  if (!field.dtype.startsWith("float") || Number.isNaN(x) || Number.isNaN(y)) return Infinity;
  return Math.abs(x - y);
}

/** `[{name, server, page, apart, far}]`, one for each number of a small output and one for a large one. */
function compared(contract, server, page, tolerance) {
  return contract.outputs.flatMap((field) => {
    const [theirs, ours] = [server[field.name], page[field.name]].map((value) => (field.shape?.length ? value.flat(Infinity) : [value]));
    const cells = theirs.map((value, at) => {
      const distance = ours.length === theirs.length ? apart(field, ours[at], value) : Infinity;
      const label = field.labels?.length ? `${field.name} · ${field.labels[at]}` : field.shape?.length ? `${field.name}[${at}]` : field.name;
      const far = distance > tolerance * Math.max(1, Math.abs(number(value))) || distance === Infinity;
      return { name: label, server: value, page: ours[at], apart: distance, far };
    });
    if (cells.length <= MOST_ROWS) return cells;
    const worst = cells.reduce((one, other) => (other.apart > one.apart ? other : one));
    const words = `${cells.length} values`;
    return [{ ...worst, name: worst.apart ? worst.name : field.name, ...(worst.apart ? {} : { server: words, page: words }), far: cells.some(({ far }) => far) }];
  });
}

/** The codes and places of a refusal, for a comparison. */
const faults = ({ code, path, details }) => (details?.length ? details : [{ code, path }]).map((each) => `${each.code} ${each.path ?? ""}`).join("\n");

/** The model of the server's page in the page itself. */
export class PageModel {
  #worker = null;
  #waiting = new Map();
  #calls = 0;
  #runtime = null;
  #opened = null; // {digest, contract, tolerance, largest} of the model that answers here
  #last = null; // what was asked last, to be asked again when the model is there
  #number = 0; // of the last model and of the last request, so that a slow one draws nothing

  /** Show another model: load it, or say why it stays on the server. `details` are those of the page, with name and version. */
  async open(details) {
    const turn = ++this.#number;
    this.#opened = this.#last = null;
    this.#runtime = await api.runtime();
    if (turn !== this.#number) return;
    byId("here").hidden = !this.#runtime;
    if (!this.#runtime) return;
    this.#verdict("", "");
    const why = this.#obstacle(details);
    if (why) {
      this.#draw(el("p", { class: "aside" }, why));
      return;
    }
    const bytes = details.manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const load = () => this.#load(details, bytes);
    if (bytes <= AT_ONCE) await load();
    else this.#draw(el("p", { class: "aside" }, `The bundle has ${megabytes(bytes)}. `), el("button", { type: "button", class: "quiet", onclick: load }, "Load it into this page"));
  }

  /** Ask what the server was asked; `result` is its answer or its refusal. */
  async ask(body, asked, result) {
    this.#last = { body, asked, result };
    if (this.#opened) await this.#answer();
  }

  #obstacle({ about, manifest, files }) {
    if (this.#runtime.missing) return `Nothing runs in this page: ${this.#runtime.missing}.`;
    if (!isSecureContext) return "The model runs in a page that came by https, or from this machine, alone.";
    if (about.runtime !== "onnx") return `This is a ${about.runtime} model. It answers on the server alone: a browser runs ONNX models.`;
    if (!files) return "The model stays on the server: it gives out the bundle's files to keys with the scope bundles alone.";
    if (!manifest.targets.includes("browser")) return `The bundle is for ${manifest.targets.join(", ")} alone.`;
    return "";
  }

  async #load(details, bytes) {
    const turn = ++this.#number;
    const { model, version, about, manifest } = details;
    this.#verdict("", "");
    this.#draw(el("p", { class: "aside" }, `Loading the model into this page, ${megabytes(bytes)} …`));
    try {
      const names = ["bundle.json", ...manifest.files.map(({ path }) => path)];
      const files = new Map(await Promise.all(names.map(async (name) => [name, await api.bytes(model, version, name)])));
      if (turn !== this.#number) return;
      const [script, wasm] = [this.#runtime.script, this.#runtime.wasm].map(api.address);
      const { largest } = await this.#call("open", { runtime: { script, wasm, wasmSha256: this.#runtime.wasmSha256 }, digest: about.bundle, files });
      if (turn !== this.#number) return;
      this.#opened = { ...details, digest: about.bundle, tolerance: Number(manifest.tolerance) || 0, largest };
    } catch (error) {
      if (turn !== this.#number) return;
      this.#draw(
        el("p", { class: "refused" }, el("strong", {}, "The model does not run in this page: "), error.message),
        error.body?.help && el("p", { class: "aside" }, `help: ${error.body.help}`),
        el("button", { type: "button", class: "quiet", onclick: () => this.#load(details, bytes) }, "Try again"),
      );
      this.#verdict("", "");
      return;
    }
    if (this.#last) await this.#answer();
    else this.#draw(...this.#foot());
  }

  async #answer() {
    const turn = this.#number;
    const last = this.#last;
    const { digest } = this.#opened;
    const begun = performance.now();
    let ours;
    try {
      const text = await this.#call("predict", { digest, body: last.body, contract: last.asked });
      ours = { answer: parse(text), ms: performance.now() - begun };
    } catch (error) {
      ours = error;
    }
    if (turn !== this.#number || last !== this.#last) return;
    this.#compare(last.result, ours);
  }

  #compare(server, page) {
    const [there, here] = [server, page].map((one) => !(one instanceof Error));
    if (there && here) {
      this.#table(server, page);
    } else if (there || here) {
      const silent = here && (server.status === 0 || server.status === 429 || server.status >= 500);
      this.#verdict(silent ? "" : "differs", silent ? "the server did not answer" : "differs");
      const [side, { message, code }] = there ? ["This page", page] : ["The server", server];
      this.#draw(el("p", { class: "refused" }, el("strong", {}, `${side} refused it: `), message, " ", code && el("code", {}, code)), ...this.#foot(server, page));
    } else {
      const alike = faults(server) === faults(page);
      const comparable = server.status >= 400 && server.status < 500 && server.status !== 429;
      this.#verdict(alike ? "agrees" : comparable ? "differs" : "", alike ? "refused alike" : comparable ? "refused otherwise" : "the server did not answer");
      this.#draw(el("p", { class: "aside" }, alike ? "Both refused it, with the same codes at the same places." : "Here it was refused with"), !alike && el("pre", { class: "value" }, faults(page)), ...this.#foot(server, page));
    }
  }

  #table(server, page) {
    const { contract, tolerance } = this.#opened;
    const rows = compared(contract, server.answer.predictions[0], page.answer.predictions[0], tolerance);
    const far = rows.filter((row) => row.far);
    const worst = rows.reduce((one, other) => (other.apart > one.apart ? other : one));
    if (far.length) this.#verdict("differs", `differs in ${far.map(({ name }) => name).slice(0, 3).join(", ")}`);
    else this.#verdict("agrees", worst.apart ? `largest difference ${difference(worst.apart)}` : "equal");
    const cell = (value) => el("td", { title: JSON.stringify(value) }, typeof value === "string" ? value : brief(value));
    const lines = rows.map((row) =>
      el(
        "tbody",
        { class: row.far ? "far" : null },
        el("tr", {}, el("th", { scope: "rowgroup", colspan: 3 }, row.name)),
        el("tr", {}, cell(row.server), cell(row.page), el("td", {}, difference(row.apart))),
      ),
    );
    const heads = ["Server", "This page", "Difference"].map((head) => el("th", { scope: "col" }, head));
    const allowed = worst.apart && !far.length ? [el("p", { class: "aside" }, `In ${worst.name}; the bundle allows ${tolerance}.`)] : [];
    this.#draw(el("table", {}, el("thead", {}, el("tr", {}, heads)), lines), ...allowed, ...this.#foot(server, page));
  }

  #foot(server, page) {
    const { largest } = this.#opened;
    const golden = largest === 0 ? "golden rows equal here" : `golden rows within ${difference(largest)} here`;
    const times = server && page && !(page instanceof Error) ? `server ${milliseconds(server.ms)}, this page ${milliseconds(page.ms)} · ` : "";
    return [el("p", { class: "aside" }, `${times}${golden} · ONNX Runtime Web ${this.#runtime.version}`)];
  }

  #verdict(kind, text) {
    const chip = byId("agreement");
    chip.className = `verdict ${kind}`;
    chip.textContent = text;
    chip.hidden = !text;
  }

  #draw(...parts) {
    byId("here-body").replaceChildren(...parts.filter(Boolean));
  }

  #call(call, argument) {
    this.#worker ??= this.#started();
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#broken("the model did not answer in this page"), PATIENCE);
      this.#waiting.set(id, { resolve, reject, late });
      this.#worker.postMessage({ id, call, argument });
    });
  }

  #started() {
    const worker = new Worker(api.address(this.#runtime.worker), { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      const { resolve, reject, late } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      clearTimeout(late);
      if (data.error) reject(new api.Refused(422, data.error));
      else resolve(data.result);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#broken("the page's worker did not start");
    });
    return worker;
  }

  /** A worker that is of no use any more: whoever waits for it is told, and the next call starts another. */
  #broken(error) {
    this.#worker.terminate();
    this.#worker = null;
    for (const { reject, late } of this.#waiting.values()) {
      clearTimeout(late);
      reject(new api.Refused(0, { error, code: "internal" }));
    }
    this.#waiting.clear();
  }
}
