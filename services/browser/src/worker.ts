/**
 * The worker behind the page: it scores, records what was answered, sends it, and looks for a newer model.
 *
 * The page asks by messages `{id, call, argument}` and gets `{id, result}` or `{id, error}`; `{status}` comes unasked
 * whenever something has changed.
 */

import { FivefoldError, ProtocolError, type View } from "./contract/index.js";
import { answerCalls } from "./call-answers.js";
import { ModelStore, type Published } from "./models/model-store.js";
import { type Flushed, flush, type HubSettings } from "./outbox/flush.js";
import { Outbox } from "./outbox/outbox.js";
import { eventsOf } from "./outbox/events.js";
import { reportOf, sendReport } from "./outbox/report.js";
import { BundleInvalid, decode } from "./runtime/manifest.js";
import { runtimeWasm } from "./runtime/runtime-wasm.js";
import { prepare, type Runtime, type Scorer } from "./runtime/scorer.js";
import type { Site } from "./site.js";
import { openDatabase, recall, remember } from "./storage/database.js";
import type { Calls, Opened, Status } from "./calls.js";

const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 300_000;
const REPORT_EVERY = 60_000;

class Engine {
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private flushed: Flushed | undefined;
  /** What the hub was told last of the models here, and when. */
  private reported: { models: string; at: number; taken: boolean } | undefined;

  private constructor(
    private readonly site: Site,
    private readonly scope: string,
    private readonly database: Awaited<ReturnType<typeof openDatabase>>,
    private readonly models: ModelStore,
    private readonly outbox: Outbox | undefined,
    private readonly scorer: Scorer,
  ) {}

  static async start({ site, scope }: Calls["start"]["argument"]): Promise<Engine> {
    const [database, runtime, wasm] = await Promise.all([
      openDatabase(scope),
      import(new URL(site.runtime.script, scope).href) as Promise<Runtime>,
      runtimeWasm(new URL(site.runtime.wasm, scope).href, site.runtime.wasmSha256),
    ]);
    prepare(runtime, wasm);
    const models = new ModelStore(database, scope, runtime, site.publicKey === undefined ? undefined : fromBase64(site.publicKey));
    let scorer = await models.open();
    if (!scorer) {
      const polled = await models.poll();
      if (polled.outcome === "refused") throw new BundleInvalid(polled.refused.message, "", "publish the model again");
      scorer = await models.open();
    }
    if (!scorer) throw new FivefoldError("not_ready", "no model is on this device yet, and none could be fetched", { help: "open the page once while it is online" });
    const outbox = site.hub === undefined ? undefined : new Outbox(database, site.quotaBytes, site.policy);
    const engine = new Engine(site, scope, database, models, outbox, scorer);
    self.addEventListener("online", () => void engine.look());
    setInterval(() => void engine.look(), site.pollSeconds * 1000);
    void engine.look();
    return engine;
  }

  /** Look for a newer model, and send what waits. */
  async look(): Promise<void> {
    await this.models.poll();
    this.tell();
    await this.flush();
  }

  open(): Opened {
    const { bundle } = this.scorer;
    const text = (path: string): string => decode(bundle.files.get(path)!, path);
    const { name, version, default_contract: fallback } = bundle.manifest;
    const own = bundle.contract.version;
    return {
      name,
      version,
      digest: bundle.digest,
      software: this.site.software,
      contract: `${bundle.contract.name}@${fallback ?? own}`,
      own,
      contracts: bundle.views.versions,
      manifest: text("bundle.json"),
      golden: text("golden.jsonl"),
      contractTexts: Object.fromEntries(
        bundle.views.versions.map((each) => [each, text(each === own ? "contract.json" : `contracts/${each}.json`)]),
      ),
    };
  }

  /** Answer a V1 body, and keep each row with its answer for the hub. It is saved when this resolves without `unsaved`. */
  async predict({ body, contract }: Calls["predict"]["argument"]): Promise<Calls["predict"]["result"]> {
    const { bundle } = this.scorer;
    const view: View = contract === undefined ? bundle.views.default : bundle.views.find(contract);
    const { name: model, version } = bundle.manifest;
    const request = crypto.randomUUID().replaceAll("-", "");
    const text = await this.scorer.predict(body, view, { model, version, bundle: bundle.digest, transport: "browser", request_id: request });
    const facts = { contract: view.name, ignored: view.ignored, deprecated: view.deprecated, sunset: view.sunset };
    if (!this.outbox) return { text, ...facts };
    try {
      await this.outbox.append("bulk", eventsOf(body, text, { model, version, contract: view.name, bundle: `sha256:${bundle.digest}` }));
    } catch (error) {
      if (!(error instanceof FivefoldError)) throw error;
      this.tell();
      return { text, ...facts, unsaved: error.toJSON() as { error: string; code: string } };
    }
    this.tell();
    void this.flush();
    return { text, ...facts, saved: true };
  }

  async connect({ device, key }: Calls["connect"]["argument"]): Promise<void> {
    await remember(this.database, "hub", device ? ({ url: this.site.hub!, device, key } satisfies HubSettings) : undefined);
    this.failures = 0;
    this.reported = undefined;
    await this.flush();
  }

  async resume(): Promise<void> {
    await this.outbox?.resume();
    await this.flush();
  }

  async rollBack(): Promise<void> {
    await this.models.rollBack();
    this.tell();
  }

  /** Send all that waits; after a failure again by itself, each time later, at a random moment of the time that is left. */
  async flush(): Promise<void> {
    const hub = await recall<HubSettings>(this.database, "hub");
    if (!this.outbox || !hub) {
      this.tell();
      return;
    }
    clearTimeout(this.retry);
    const flushed = await flush(this.outbox, { ...hub, url: this.site.hub! }, this.scope);
    // Another tab, or an attempt of this one that still runs, says how it went.
    if (flushed.outcome !== "busy") this.flushed = flushed;
    if (flushed.outcome === "done") {
      this.failures = 0;
      void this.report(this.outbox, { ...hub, url: this.site.hub! });
    } else {
      this.failures += flushed.outcome === "busy" ? 0 : 1;
      const most = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(this.failures, 20));
      const wait = flushed.retryAfter === undefined ? Math.random() * most : flushed.retryAfter * 1000;
      clearTimeout(this.retry);
      this.retry = setTimeout(() => void this.flush(), wait);
    }
    this.tell();
  }

  /** Tell the hub how this device stands: where another model is here or was turned away, and else once a minute at most. */
  private async report(outbox: Outbox, hub: HubSettings): Promise<void> {
    const [lanes, oldest, id, refused] = await Promise.all([outbox.lanes(), outbox.oldest(), outbox.id(), this.models.refused()]);
    const serves = this.serves();
    const turnedAway = refused?.digest === serves.digest ? undefined : refused;
    const { models, body } = reportOf({ outbox: id, software: this.site.software, serves, refused: turnedAway, lanes, oldest });
    const { reported } = this;
    const at = Date.now();
    if (reported && at - reported.at < REPORT_EVERY && (reported.models === models || !reported.taken)) return;
    this.reported = { models, at, taken: true };
    // A hub that does not take it is not asked again with every event.
    if (!(await sendReport(hub, body)) && this.reported?.at === at) this.reported = { models, at, taken: false };
  }

  private serves(): Published {
    const { manifest, digest } = this.scorer.bundle;
    return { name: manifest.name, version: manifest.version, digest };
  }

  async status(): Promise<Status> {
    const [active, previous, refused] = await Promise.all([this.models.active(), this.models.previous(), this.models.refused()]);
    const hub = await recall<HubSettings>(this.database, "hub");
    const { largest } = this.scorer;
    return {
      open: this.serves(),
      largest,
      ...(active ? { active } : {}),
      ...(previous ? { previous } : {}),
      ...(refused && refused.digest !== active?.digest ? { refused } : {}),
      ...(this.outbox
        ? {
            outbox: {
              lanes: await this.outbox.lanes(),
              oldest: await this.outbox.oldest(),
              quotaBytes: this.site.quotaBytes,
              persisted: await navigator.storage.persisted(),
              ...(hub ? { device: hub.device } : {}),
              ...(this.flushed ? { flushed: this.flushed } : {}),
            },
          }
        : {}),
    };
  }

  private tell(): void {
    void this.status().then((status) => postMessage({ status }));
  }
}

const fromBase64 = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

let engine: Promise<Engine> | undefined;

const calls: { [Name in keyof Calls]: (argument: Calls[Name]["argument"]) => Promise<Calls[Name]["result"]> } = {
  start: async (argument) => {
    // A start that failed, for want of a network, is tried again.
    engine = Engine.start(argument);
    engine.catch(() => (engine = undefined));
    return (await engine).open();
  },
  predict: async (argument) => (await started()).predict(argument),
  status: async () => (await started()).status(),
  connect: async (argument) => (await started()).connect(argument),
  flush: async () => (await started()).flush(),
  look: async () => (await started()).look(),
  resume: async () => (await started()).resume(),
  rollBack: async () => (await started()).rollBack(),
};

function started(): Promise<Engine> {
  if (!engine) throw new ProtocolError("not_ready", "the worker is not started");
  return engine;
}

answerCalls(calls);
