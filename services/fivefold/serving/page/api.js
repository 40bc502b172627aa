// The server's public API, as this page uses it. Addresses are relative to the page, so a prefix in front does no harm.

import { example } from "./contract.js";
import { parse } from "./dom.js";

const base = new URL("./", document.baseURI);
const segment = encodeURIComponent;

/** An answer that is not a prediction: the server's error body, or status 0 for a server that did not answer. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered with status ${status}.`);
    Object.assign(this, { status, body, code: body.code ?? "", path: body.path ?? "", details: body.details ?? [] });
  }
}

/** The absolute address of a path on this server. */
export const address = (path) => new URL(path, base).href;

/** The path of one version of a model. */
export const versionPath = (model, version) => `v1/models/${segment(model)}/versions/${segment(version)}`;

/** The path of a bundle's file. */
export const filePath = (model, version, name) => `${versionPath(model, version)}/bundle/${name}`;

let key = "";

/** Show this key to the server from now on. It stays in this page alone, and is gone with it. */
export const show = (text) => {
  key = text;
};

/** Whether the server is shown a key. */
export const shown = () => key !== "";

async function ask(path, { headers, ...options } = {}) {
  let response, text;
  try {
    const who = key ? { authorization: `Bearer ${key}` } : {};
    response = await fetch(address(path), { cache: "no-store", ...options, headers: { ...headers, ...who } });
    text = await response.text();
  } catch {
    throw new Refused(0, { error: "The server cannot be reached.", help: "is it still running?" });
  }
  if (response.ok) return text;
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy in front answered in its own words; the status says enough.
  }
  throw new Refused(response.status, body !== null && typeof body === "object" ? body : {});
}

/** What is served: `[{name, versions, default_version, …}]`. */
export async function models() {
  const { models: names } = parse(await ask("v1/models"));
  return Promise.all(names.map(async (name) => parse(await ask(`v1/models/${segment(name)}`))));
}

/** What the server tells its page: where its gRPC is, and whether bundles' files are given out to anybody. */
const settings = () => ask("page/server.json").then(JSON.parse, () => ({}));

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

/** What the page shows of one version: status, contract, manifest and golden rows (`[{in, out}]`).
 *
 * Where the server does not give out the bundle's files (`given` is false), one row without an answer is made from the
 * contract.
 */
export async function open(model, version) {
  const { bundles = true } = await settings();
  const [about, contract, manifest] = await Promise.all([
    ask(versionPath(model, version)),
    ask(`${versionPath(model, version)}/contract`),
    bundles ? file(model, version, "bundle.json") : null,
  ]);
  // Who may not read the one may not read the other.
  const golden = manifest === null ? null : await file(model, version, "golden.jsonl");
  const law = parse(contract);
  const opened = { about: parse(about), contract: law, manifest: parse(manifest ?? "{}"), given: golden !== null };
  if (golden === null) return { ...opened, golden: [{ in: example(law) }] };
  return { ...opened, golden: golden.split("\n").filter((line) => line.trim()).map(parse) };
}

/** The server's own name and version, or null. */
export const server = () => ask("v2").then(parse, () => null);

/** What the server says of itself: `ready`, `not ready`, or nothing at all. */
export const ready = () => ask("readyz").then(() => "ready", ({ status }) => (status ? "not ready" : "unreachable"));

/** Send one body; gives `{text, answer, ms}`, and an error carries the milliseconds too. */
export async function predict(model, version, body) {
  const start = performance.now();
  try {
    const text = await ask(`${versionPath(model, version)}:predict`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    return { text, answer: parse(text), ms: performance.now() - start };
  } catch (error) {
    error.ms = performance.now() - start;
    throw error;
  }
}
