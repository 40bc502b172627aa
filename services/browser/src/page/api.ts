/**
 * What the server's page asks of its server, answered on this device: `serving/page` is built with this module in the place
 * of its `api.js`. The server's own words for models, contracts and refusals are kept, so the form is the same one.
 */

import { example } from "fivefold-page/contract.js";
import { parse } from "fivefold-page/dom.js";
import { choice } from "fivefold-page/versions.js";
import type { Answered, Opened } from "../calls.js";
import { call, type ErrorBody, scope, start, WorkerError } from "./worker-link.js";
import { tellSaved } from "./device-panel.js";

const STATUS: Readonly<Record<string, number>> = { malformed: 400, too_large: 413, contract_unsupported: 409, model_failed: 500, internal: 500, not_ready: 0 };

/** An answer that is not a prediction; `status` is the one that the server answers with. */
export class Refused extends Error {
  readonly code: string;
  readonly path: string;
  readonly details: readonly unknown[];
  ms = 0;

  constructor(
    readonly status: number,
    readonly body: ErrorBody,
  ) {
    super(body.error);
    this.code = body.code;
    this.path = body.path ?? "";
    this.details = body.details ?? [];
  }
}

const refused = (error: unknown): unknown => (error instanceof WorkerError ? new Refused(STATUS[error.body.code] ?? 422, error.body) : error);

async function opened(): Promise<Opened> {
  try {
    return await start();
  } catch (error) {
    throw error instanceof WorkerError ? new Refused(0, error.body) : error;
  }
}

let digest = "";

export const address = (path: string): string => new URL(path, scope).href;
export const versionPath = (model: string, version: string): string => `${model}/${version}`;
export const filePath = (_model: string, _version: string, name: string): string => `models/${digest}/${name}`;
export const show = (_key: string): void => undefined;
export const shown = (): boolean => false;
/** A file of rows would fill the store of events that wait for the hub. */
export const takesFiles = false;
/** Nothing is counted here. */
export const countsInputs = async (): Promise<boolean> => false;
export const inputs = async (): Promise<Record<string, never>> => ({});
export const score = async (): Promise<{ predictions: string[]; bundle: string }> => ({ predictions: [], bundle: "" });
export const keep = (): void => undefined;
export const forget = (): void => undefined;
export const grpc = async (): Promise<string> => "";
/** All answers are this page's own already: there is none to hold beside them. */
export const runtime = async (): Promise<null> => null;
export const bytes = async (model: string, version: string, name: string): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(address(filePath(model, version, name)))).arrayBuffer());

export async function models(): Promise<unknown[]> {
  const { name, version } = await opened();
  return [{ name, versions: [version], default_version: version }];
}

export async function server(): Promise<{ name: string; version: string }> {
  const [name = "", version = ""] = (await opened()).software.split(" ");
  return { name: `${name} in this browser`, version };
}

export const ready = async (): Promise<string> => (navigator.onLine ? "ready" : "offline");

/** What the page shows of the model: golden rows are of the model's own contract version alone. */
export async function open(_model: string, version: string, wanted?: string): Promise<unknown> {
  const model = await opened();
  digest = model.digest;
  const about = { default_version: version, runtime: "onnx", bundle: model.digest, contract: model.contract, contracts: model.contracts };
  const versions = choice(about, wanted);
  const chosen = versions?.chosen ?? model.own;
  const contract = parse(model.contractTexts[chosen]!);
  const shared = { about, versions, contract, manifest: parse(model.manifest), files: true };
  if (chosen !== model.own) return { ...shared, given: false, golden: [{ in: example(contract) }] };
  const golden = model.golden.split("\n").filter((line) => line.trim());
  return { ...shared, given: true, golden: golden.map((line) => parse(line)) };
}

/** Answer one body under a contract version, as the server does. */
export async function predict(_model: string, _version: string, contract: string | undefined, body: string): Promise<unknown> {
  const begun = performance.now();
  try {
    const answered = await call("predict", { body, contract });
    const ms = performance.now() - begun;
    tellSaved(answered);
    return { text: answered.text, answer: parse(answered.text), headers: headersOf(answered), ms };
  } catch (error) {
    tellSaved(undefined);
    const known = refused(error);
    if (known instanceof Refused) known.ms = performance.now() - begun;
    throw known;
  }
}

/** What the server says in headers beside an answer (RFC 9745, RFC 8594). */
function headersOf({ contract, ignored, deprecated, sunset }: Answered): Headers {
  const headers = new Headers({ "x-contract-version": contract.slice(contract.lastIndexOf("@") + 1) });
  if (ignored.length) headers.set("x-contract-ignored", ignored.join(","));
  if (deprecated) headers.set("deprecation", `@${Date.parse(deprecated) / 1000}`);
  if (sunset) headers.set("sunset", new Date(sunset).toUTCString());
  return headers;
}
