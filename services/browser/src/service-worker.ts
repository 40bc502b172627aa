/**
 * The service worker: keeps the page's own files whole and at hand without a network, and sends the outbox when the browser
 * says that there is one again.
 *
 * The export writes the list of files in front of this code, so another page is another service worker. Files are named by
 * their content and fetched with their digest; all of them are there, or the older service worker goes on with the older
 * ones. Models are downloaded and proven in the page's worker (`models/model-store`), which alone may load the runtime.
 */

import { flush, type HubSettings } from "./outbox/flush.js";
import { Outbox } from "./outbox/outbox.js";
import { openDatabase, recall } from "./storage/database.js";

/** One file of the page: its path below the page's folder, and its digest as `integrity` has it. */
interface ShellFile {
  readonly path: string;
  readonly integrity: string;
}

interface Shell {
  /** The digest of the list: the name of the cache. */
  readonly digest: string;
  readonly files: readonly ShellFile[];
}

declare const self: ServiceWorkerGlobalScope & { readonly FIVEFOLD_SHELL: Shell };

interface SyncEvent extends ExtendableEvent {
  readonly tag: string;
}

const shell = self.FIVEFOLD_SHELL;
const scope = self.registration.scope;
const prefix = `fivefold-page:${new URL(scope).pathname}:`;
const cacheName = prefix + shell.digest;
const INDEX = "index.html";

const address = (path: string): string => new URL(path, scope).href;
const known = new Map(shell.files.map((file) => [address(file.path), file]));

/** The file as an older page has it, where that is the very same one. */
async function standing({ path, integrity }: ShellFile): Promise<Response | undefined> {
  if (path === INDEX) return undefined;
  for (const name of await caches.keys()) {
    if (!name.startsWith(prefix)) continue;
    const response = await (await caches.open(name)).match(address(path));
    if (!response) continue;
    const digest = await crypto.subtle.digest("SHA-256", await response.clone().arrayBuffer());
    const text = btoa(String.fromCharCode(...new Uint8Array(digest)));
    if (`sha256-${text}` === integrity) return response;
  }
  return undefined;
}

/** Every file into the cache, or none: one that is not what the list says fails the whole. */
async function precache(): Promise<void> {
  const cache = await caches.open(cacheName);
  try {
    await Promise.all(
      shell.files.map(async (file) => {
        // A copy in the browser's own cache could be an older one under the same address: only the network will do.
        const response = (await standing(file)) ?? (await fetch(address(file.path), { integrity: file.integrity, cache: "reload" }));
        if (!response.ok) throw new Error(`${file.path}: the server answered ${response.status}`);
        await cache.put(address(file.path), response);
      }),
    );
  } catch (error) {
    await caches.delete(cacheName);
    throw error;
  }
}

/** Take over, and let go of what older pages had. */
async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(prefix) && name !== cacheName) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request: Request, path: string): Promise<Response> {
  const found = await (await caches.open(cacheName)).match(address(path));
  return found ?? fetch(request);
}

/** A file of a model that is on this device already. */
async function modelFile(request: Request): Promise<Response> {
  return (await caches.match(request.url)) ?? fetch(request);
}

async function send(): Promise<void> {
  const database = await openDatabase(scope);
  try {
    const hub = await recall<HubSettings>(database, "hub");
    if (!hub) return;
    // What is only sent is under no quota.
    const { outcome, message } = await flush(new Outbox(database, Infinity), hub, scope);
    // A sync that fails is tried again by the browser.
    if (outcome === "later") throw new Error(message);
  } finally {
    database.close();
  }
}

self.addEventListener("install", (event) => event.waitUntil(precache()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.hash = "";
  url.search = "";
  if (request.method !== "GET" || !url.href.startsWith(scope)) return;
  const path = url.href.slice(scope.length);
  if (request.mode === "navigate" && (path === "" || path === INDEX)) event.respondWith(answer(request, INDEX));
  else if (known.has(url.href)) event.respondWith(answer(request, path));
  else if (path.startsWith("models/") && request.cache !== "reload") event.respondWith(modelFile(request));
});

self.addEventListener("sync", (event) => {
  const { tag, waitUntil } = event as SyncEvent;
  if (tag === "fivefold-outbox") waitUntil.call(event, send());
});
