// The server's public API, as this page uses it. Addresses are relative to the page, so a prefix in front does no harm.

import { example } from "./contract.js";
import { parse } from "./dom.js";
import { asking, choice } from "./versions.js";

const base = new URL("./", document.baseURI);
const segment = encodeURIComponent;

/** An answer that is not a prediction: the server's error body, or status 0 for a server that did not answer. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered with status ${status}.`);
    Object.assign(this, { status, body, retryAfter: 0, code: body.code ?? "", path: body.path ?? "", details: body.details ?? [] });
  }
}

/** The absolute address of a path on this server. */
export const address = (path) => new URL(path, base).href;

/** The path of one version of a model. */
export const versionPath = (model, version) => `v1/models/${segment(model)}/versions/${segment(version)}`;

/** The path of a bundle's file. */
export const filePath = (model, version, name) => `${versionPath(model, version)}/bundle/${name}`;

/** Where this tab keeps the key: by the page's address, because servers below other prefixes have keys of their own. */
const KEPT = `fivefold-key ${base.pathname}`;

/** The tab's store, or null in a browser that lets pages keep nothing. */
function session() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

let key = session()?.getItem(KEPT) ?? "";

/** Show this key to the server from now on. */
export const show = (text) => {
  key = text;
};

/** Keep the key that the server has taken: for this tab alone, until it is closed. */
export const keep = () => session()?.setItem(KEPT, key);

/** Show no key any more, and keep none. */
export const forget = () => {
  key = "";
  session()?.removeItem(KEPT);
};

/** Whether the server is shown a key. */
export const shown = () => key !== "";

const ask = async (path, options) => (await call(path, options)).text;

/** One request; gives `{text, headers}` of an answer that is none of an error. */
async function call(path, options) {
  const { response, content } = await exchange(path, options, (answered) => answered.text());
  return { text: content, headers: response.headers };
}

/** One request; gives the response and its content, which `read` takes out of an answer that is none of an error. */
async function exchange(path, { headers, ...options } = {}, read) {
  let response, content;
  try {
    const who = key ? { authorization: `Bearer ${key}` } : {};
    response = await fetch(address(path), { cache: "no-store", ...options, headers: { ...headers, ...who } });
    content = await (response.ok ? read(response) : response.text());
  } catch {
    throw new Refused(0, { error: "The server cannot be reached.", help: "is it still running?" });
  }
  if (response.ok) return { response, content };
  let body = {};
  try {
    body = JSON.parse(content);
  } catch {
    // A proxy in front answered in its own words; the status says enough.
  }
  const refused = new Refused(response.status, body !== null && typeof body === "object" ? body : {});
  refused.retryAfter = Number(response.headers.get("retry-after")) || 0;
  throw refused;
}

/** What is served: `[{name, versions, default_version, …}]`. */
export async function models() {
  const { models: names } = parse(await ask("v1/models"));
  return Promise.all(names.map(async (name) => parse(await ask(`v1/models/${segment(name)}`))));
}

/** What the server tells its page: where its gRPC is, whether bundles' files are given out to anybody, and the runtime. */
const settings = () => ask("page/server.json").then(JSON.parse, () => ({}));

/** What runs models in this page: `{worker, script, wasm, wasmSha256, version}`, `{missing}`, or null where none is to. */
export const runtime = () => settings().then((told) => told.runtime ?? null);

/** A file of the bundle, as its bytes. */
export async function bytes(model, version, name) {
  const read = (answered) => answered.arrayBuffer();
  return new Uint8Array((await exchange(filePath(model, version, name), {}, read)).content);
}

/** Where this server's gRPC is, as seen from here: a server behind TLS is reached by the page's own address. */
export async function grpc() {
  if (location.protocol === "https:") return location.host.includes(":") ? location.host : `${location.host}:443`;
  const { grpc: configured = "" } = await settings();
  const [, host, port] = /^(.*):(\d+)$/.exec(configured) ?? [null, "", "9000"];
  const anywhere = /^(|0\.0\.0\.0|\[?::\]?|127\..*|\[?::1\]?|localhost)$/.test(host);
  return `${anywhere ? location.hostname : host}:${port}`;
}

/** A file of the bundle, or null where the server gives out none. */
async function file(model, version, name) {
  try {
    return await ask(filePath(model, version, name));
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

/** What the page shows of one version: status, the choice of contract versions, contract, manifest, golden rows (`[{in, out}]`).
 *
 * Golden rows are of the bundle's own contract version. Under another, or where the server does not give out the bundle's
 * `files`, none are `given`: one row without an answer is made from the contract.
 */
export async function open(model, version, wanted) {
  const { bundles = true } = await settings();
  const about = parse(await ask(versionPath(model, version)));
  const versions = choice(about, wanted);
  const [law, manifest] = await Promise.all([
    ask(`${versionPath(model, version)}/contract`, { headers: asking(versions?.chosen) }).then(parse),
    bundles ? file(model, version, "bundle.json") : null,
  ]);
  const opened = { about, versions, contract: law, manifest: parse(manifest ?? "{}"), files: manifest !== null };
  const own = opened.manifest.contract?.version === law.version;
  // Who may not read the one may not read the other.
  const golden = own ? await file(model, version, "golden.jsonl") : null;
  if (golden === null) return { ...opened, given: false, golden: [{ in: example(law) }] };
  return { ...opened, given: true, golden: golden.split("\n").filter((line) => line.trim()).map(parse) };
}

/** The server's own name and version, or null. */
export const server = () => ask("v2").then(parse, () => null);

/** What the server says of itself: `ready`, `not ready`, or nothing at all. */
export const ready = () => ask("readyz").then(() => "ready", ({ status }) => (status ? "not ready" : "unreachable"));

/** Whether the server counts what comes in. */
export const countsInputs = () => settings().then((told) => told.inputStatistics === true);

/** What came in for one version of a model: `{replica, since, rows, looked_at, fields, refusals}`. */
export const inputs = (model, version) => ask(`${versionPath(model, version)}/input-statistics`).then(parse);

/** Whether a file of rows may be sent: a server takes one. */
export const takesFiles = true;

/** Send one body under a contract version; gives the texts of its predictions, as they came, and the digest of the bundle. */
export async function score(model, version, contract, body, signal) {
  const options = { method: "POST", headers: { "content-type": "application/json", ...asking(contract) }, body, signal };
  const { elements, members } = await import("./exact-slices.js");
  const answer = members(await ask(`${versionPath(model, version)}:predict`, options));
  return { predictions: elements(answer.get("predictions")), bundle: JSON.parse(answer.get("metadata")).bundle };
}

/** Send one body under a contract version; gives `{text, answer, headers, ms}`, and an error carries the milliseconds too. */
export async function predict(model, version, contract, body) {
  const start = performance.now();
  try {
    const { text, headers } = await call(`${versionPath(model, version)}:predict`, {
      method: "POST",
      headers: { "content-type": "application/json", ...asking(contract) },
      body,
    });
    return { text, answer: parse(text), headers, ms: performance.now() - start };
  } catch (error) {
    error.ms = performance.now() - start;
    throw error;
  }
}
