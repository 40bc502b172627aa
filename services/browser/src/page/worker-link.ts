/**
 * The page's line to its worker: one promise a call, and the status whenever it changes.
 */

import type { Calls, Opened, Status } from "../calls.js";
import type { Site } from "../site.js";

/** An error body, as the worker and the server give it. */
export interface ErrorBody {
  readonly error: string;
  readonly code: string;
  readonly path?: string;
  readonly help?: string;
  readonly details?: readonly unknown[];
}

export class WorkerError extends Error {
  constructor(readonly body: ErrorBody) {
    super(body.error);
  }
}

/** What the export wrote into index.html. */
export const site = JSON.parse(document.querySelector<HTMLMetaElement>('meta[name="fivefold-site"]')!.content) as Site;

/** The folder of the page's files. */
export const scope = new URL("./", document.baseURI).href;

const waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
const listeners = new Set<(status: Status) => void>();
let calls = 0;
let worker: Worker | undefined;
let opened: Promise<Opened> | undefined;

/** Be told how the device stands, whenever that changes. */
export const onStatus = (listener: (status: Status) => void): void => void listeners.add(listener);

/** Ask the worker. */
export function call<Name extends keyof Calls>(name: Name, argument: Calls[Name]["argument"]): Promise<Calls[Name]["result"]> {
  const id = ++calls;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker!.postMessage({ id, call: name, argument });
  });
}

/** Open the model once; a start that failed is tried again by the next call. */
export function start(): Promise<Opened> {
  opened ??= begin().catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function begin(): Promise<Opened> {
  await keeper();
  if (!worker) {
    worker = new Worker(new URL(site.worker, scope), { type: "module" });
    worker.addEventListener("message", hear);
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { reject } of waiting.values()) reject(new WorkerError({ error: "the page's worker did not start", code: "internal" }));
      waiting.clear();
      worker = undefined;
    });
  }
  return call("start", { site, scope });
}

function hear({ data }: MessageEvent<{ id?: number; result?: never; error?: ErrorBody; status?: Status }>): void {
  if (data.status) for (const listener of listeners) listener(data.status);
  if (data.id === undefined) return;
  const asked = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) asked?.reject(new WorkerError(data.error));
  else asked?.resolve(data.result as never);
}

/** Wait until the service worker stands in front of this page: everything else comes through it, and so is what it was exported as. */
async function keeper(): Promise<void> {
  const { serviceWorker } = navigator;
  if (!serviceWorker) {
    const help = "open the page by https, or on localhost";
    throw new WorkerError({ error: "this browser keeps nothing offline for this address", code: "not_implemented", help });
  }
  if (serviceWorker.controller) {
    // What is kept is whole, and answers at once; whether there is a newer page is found out meanwhile.
    void registered().catch(() => undefined);
    return;
  }
  const registration = await registered();
  if (registration.active && !registration.installing && !sessionStorage.getItem("fivefold-reloaded")) {
    // A reload that goes past the service worker, by a person with the shift key: the next one does not.
    sessionStorage.setItem("fivefold-reloaded", "1");
    location.reload();
    await new Promise(() => undefined);
  }
  await new Promise<void>((resolve, reject) => {
    serviceWorker.addEventListener("controllerchange", () => resolve());
    const coming = registration.installing;
    coming?.addEventListener("statechange", () => {
      if (coming.state !== "redundant" || serviceWorker.controller) return;
      const help = "a file of the page is not what it was exported as, or the network is gone: export it again, or try again";
      reject(new WorkerError({ error: "the page's files could not be kept on this device", code: "bundle_invalid", help }));
    });
  });
  sessionStorage.removeItem("fivefold-reloaded");
}

async function registered(): Promise<ServiceWorkerRegistration> {
  try {
    return await navigator.serviceWorker.register(new URL("service-worker.js", scope), { scope });
  } catch (error) {
    const standing = await navigator.serviceWorker.getRegistration(scope);
    if (standing) return standing;
    throw new WorkerError({ error: `the service worker was not taken: ${error instanceof Error ? error.message : error}`, code: "not_ready" });
  }
}
