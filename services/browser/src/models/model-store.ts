/**
 * Models on this device: which one is active, how the next one becomes it, and the one before it for going back.
 *
 * A model becomes active in two steps. It is downloaded into a cache of its own, every file held against its digest, the
 * signature against the pinned key, and its golden rows are scored here; only then one transaction makes it the active one.
 * Whatever fails on the way leaves the active one as it is. Polling, and when, is left to `worker`.
 */

import { FivefoldError } from "../contract/index.js";
import { AnswersDiffer, BundleInvalid, checkFile, checkSignature, type Files, MANIFEST, type Manifest, readManifest, sha256, SIGNATURE, verified } from "../runtime/manifest.js";
import { type Runtime, Scorer } from "../runtime/scorer.js";
import { type Database, recall, remember, writing } from "../storage/database.js";

/** The published model: model.json. */
export interface Published {
  readonly name: string;
  readonly version: string;
  readonly digest: string;
}

/** A model that was not taken, and why. */
export interface Refused extends Published {
  readonly code: string;
  readonly message: string;
}

export type Polled =
  | { readonly outcome: "unchanged" | "offline" | "busy" }
  | { readonly outcome: "activated"; readonly model: Published }
  | { readonly outcome: "refused"; readonly refused: Refused };

const PUBLISHED = "model.json";
const DIGEST = /^[0-9a-f]{64}$/;

export class ModelStore {
  constructor(
    private readonly database: Database,
    private readonly scope: string,
    private readonly runtime: Runtime,
    private readonly key: Uint8Array<ArrayBuffer> | undefined,
  ) {}

  readonly active = (): Promise<Published | undefined> => recall<Published>(this.database, "active");
  readonly previous = (): Promise<Published | undefined> => recall<Published>(this.database, "previous");
  readonly refused = (): Promise<Refused | undefined> => recall<Refused>(this.database, "refused");

  /** Open the active model; where its files are no longer what they were, the one before it. undefined where there is none. */
  async open(): Promise<Scorer | undefined> {
    for (const model of [await this.active(), await this.previous()]) {
      if (!model) continue;
      try {
        const scorer = await this.opened(model);
        if (model.digest !== (await this.active())?.digest) await this.flip(model, undefined);
        return scorer;
      } catch (error) {
        if (!(error instanceof FivefoldError)) throw error;
        await this.note(model, error);
        // What does not hold any more is fetched anew.
        await caches.delete(this.cacheName(model.digest));
        await remember(this.database, "etag", undefined);
      }
    }
    return undefined;
  }

  /** Look at the published model, and make it the active one where it is another and holds. */
  async poll(): Promise<Polled> {
    return navigator.locks.request(`fivefold-models:${new URL(this.scope).pathname}`, { ifAvailable: true }, (lock) =>
      lock ? this.polled() : { outcome: "busy" },
    );
  }

  /** Make the model before the active one active again; the one that is given up is not taken again by itself. */
  async rollBack(): Promise<Published | undefined> {
    const [active, previous] = [await this.active(), await this.previous()];
    if (!active || !previous) return undefined;
    const scorer = await this.opened(previous);
    await scorer.close();
    await remember(this.database, "refused", { ...active, code: "rolled_back", message: "taken back on this device" });
    await this.flip(previous, undefined);
    return previous;
  }

  private async polled(): Promise<Polled> {
    const etag = await recall<string>(this.database, "etag");
    let response: Response;
    try {
      response = await fetch(new URL(PUBLISHED, this.scope), { cache: "no-store", headers: etag ? { "if-none-match": etag } : {} });
    } catch {
      return { outcome: "offline" };
    }
    if (response.status === 304) return { outcome: "unchanged" };
    if (!response.ok) return { outcome: "offline" };
    const model = published(await response.json().catch(() => undefined));
    if (!model) return { outcome: "offline" };
    const seen = response.headers.get("etag") ?? undefined;
    if (model.digest === (await this.active())?.digest) {
      await remember(this.database, "etag", seen);
      return { outcome: "unchanged" };
    }
    const before = await this.refused();
    if (before?.digest === model.digest && final(before)) return { outcome: "refused", refused: before };
    try {
      await this.download(model);
      const scorer = await this.opened(model);
      await scorer.close();
    } catch (error) {
      if (!(error instanceof FivefoldError)) return { outcome: "offline" };
      return { outcome: "refused", refused: await this.note(model, error) };
    }
    await this.flip(model, await this.active());
    await remember(this.database, "etag", seen);
    return { outcome: "activated", model };
  }

  /** Every file of a model into its cache, each once and only as what bundle.json says; what is there already stays. */
  private async download(model: Published): Promise<void> {
    const cache = await caches.open(this.cacheName(model.digest));
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    const raw = (await this.held(cache, model.digest, MANIFEST)) ?? (await this.fetched(model.digest, MANIFEST));
    let manifest: Manifest;
    try {
      manifest = await readManifest(raw, model.digest);
    } catch (error) {
      await cache.delete(this.address(model.digest, MANIFEST));
      throw error;
    }
    files.set(MANIFEST, raw);
    if (this.key) {
      files.set(SIGNATURE, await this.fetched(model.digest, SIGNATURE));
      await checkSignature(files, this.key);
      await cache.put(this.address(model.digest, SIGNATURE), new Response(files.get(SIGNATURE)!));
    }
    await cache.put(this.address(model.digest, MANIFEST), new Response(raw));
    const active = await this.active();
    const standing = active && (await caches.open(this.cacheName(active.digest)));
    for (const entry of manifest.files) {
      const here = await this.held(cache, model.digest, entry.path);
      if (here && here.length === entry.bytes && (await sha256(here)) === entry.sha256) continue;
      // What the active model has too, such as the contract, is not downloaded again.
      const same = standing && (await this.held(standing, active.digest, entry.path));
      const known = same && same.length === entry.bytes && (await sha256(same)) === entry.sha256 ? same : undefined;
      if (here) await cache.delete(this.address(model.digest, entry.path));
      const bytes = known ?? (await this.fetched(model.digest, entry.path));
      await checkFile(entry, bytes);
      await cache.put(this.address(model.digest, entry.path), new Response(bytes));
    }
  }

  /** The model out of its cache, verified once more and proven by its golden rows. */
  private async opened(model: Published): Promise<Scorer> {
    const cache = await caches.open(this.cacheName(model.digest));
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const request of await cache.keys()) {
      const path = request.url.slice(this.address(model.digest, "").length);
      files.set(path, new Uint8Array(await (await cache.match(request))!.arrayBuffer()));
    }
    return Scorer.open(this.runtime, await verified(model.digest, files as Files, this.key));
  }

  /** One transaction makes a model the active one, and forgets the caches of all but it and the one before it. */
  private async flip(model: Published, previous: Published | undefined): Promise<void> {
    const transaction = writing(this.database, ["state"]);
    const state = transaction.objectStore("state");
    await state.put(model, "active");
    if (previous) await state.put(previous, "previous");
    else await state.delete("previous");
    await transaction.done;
    const kept = [model, previous].map((each) => each && this.cacheName(each.digest));
    const own = this.cacheName("");
    for (const name of await caches.keys()) if (name.startsWith(own) && !kept.includes(name)) await caches.delete(name);
  }

  private async note(model: Published, error: FivefoldError): Promise<Refused> {
    const message = error.path ? `${error.path}: ${error.message}` : error.message;
    const refused = { ...model, code: error instanceof AnswersDiffer ? "golden_differs" : error.code, message };
    await remember(this.database, "refused", refused);
    return refused;
  }

  private async held(cache: Cache, digest: string, path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await cache.match(this.address(digest, path));
    return response && new Uint8Array(await response.arrayBuffer());
  }

  private async fetched(digest: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
    const response = await fetch(this.address(digest, path), { cache: "reload" });
    if (!response.ok) throw new BundleInvalid(`the server answered ${response.status}`, path);
    return new Uint8Array(await response.arrayBuffer());
  }

  private readonly cacheName = (digest: string): string => `fivefold-model:${new URL(this.scope).pathname}:${digest}`;
  private readonly address = (digest: string, path: string): string => new URL(`models/${digest}/${path}`, this.scope).href;
}

/** Whether a model that was refused is not tried again: it gave other answers, or a person took it back. */
const final = (refused: Refused): boolean => refused.code === "golden_differs" || refused.code === "rolled_back";

function published(value: unknown): Published | undefined {
  if (value === null || typeof value !== "object") return undefined;
  const { name, version, digest } = value as Record<string, unknown>;
  if (typeof name !== "string" || typeof version !== "string" || typeof digest !== "string" || !DIGEST.test(digest)) return undefined;
  return { name, version, digest };
}
