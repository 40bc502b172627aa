/**
 * Sending the outbox to the hub: protocol version 1, batches of lines in order, deleted only up to what the hub has.
 *
 * One flusher at a time on this device, whoever starts it: a page, another tab, or the service worker. When to try, and
 * again when, is left to the callers; a hub that says what cannot be stops a lane until a person decides.
 */

import type { Stored } from "../storage/database.js";
import { hubAddress } from "./hub-address.js";
import { LANES, type LaneName, lineOf, type Outbox } from "./outbox.js";

export const MAX_LINES = 500;
export const MAX_BATCH_BYTES = 1024 * 1024;

const SECONDS = 60;

/** Where a device's events go: the hub's address, the device's id and its key. */
export interface HubSettings {
  readonly url: string;
  readonly device: string;
  readonly key: string;
}

/** How an attempt ended. `retryAfter` is in seconds, where the hub named a time. */
export interface Flushed {
  readonly outcome: "done" | "busy" | "later" | "refused";
  readonly message?: string;
  readonly retryAfter?: number;
}

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly retryAfter?: number;
}

/** Send all that waits; gives how it ended, and throws nothing that a network or a hub can cause. */
export async function flush(outbox: Outbox, hub: HubSettings, scope: string): Promise<Flushed> {
  const name = `fivefold-outbox-flush:${new URL(scope).pathname}`;
  return navigator.locks.request(name, { ifAvailable: true }, async (lock): Promise<Flushed> => {
    if (!lock) return { outcome: "busy" };
    for (const lane of LANES) {
      const ended = await flushLane(outbox, hub, lane);
      if (ended.outcome !== "done") return ended;
    }
    return { outcome: "done" };
  });
}

async function flushLane(outbox: Outbox, hub: HubSettings, lane: LaneName): Promise<Flushed> {
  let most = MAX_LINES;
  let holes = 0;
  for (;;) {
    const state = (await outbox.lanes()).find((each) => each.lane === lane)!;
    if (state.stop) return { outcome: "done" };
    const batch = await outbox.pending(lane, most, MAX_BATCH_BYTES);
    if (!batch.length) return { outcome: "done" };
    const last = batch.at(-1)!.seq;
    await outbox.sending(lane, last);
    const reply = await send(hub, lane, await outbox.id(), batch, state.ackedId ?? "");
    if (!reply) return { outcome: "later", message: "the hub cannot be reached" };
    const { status, body } = reply;
    const has = body["acked_through"];
    if ((status === 200 || status === 409) && !(Number.isSafeInteger(has) && (has as number) >= 0)) {
      // An answer that is none of a hub's: a proxy, or a page that asks for a password.
      return { outcome: "later", message: `the hub answered ${status} without a number` };
    }
    const through = has as number;
    const id = typeof body["id"] === "string" && body["id"] ? body["id"] : undefined;
    if (status === 200 || (status === 409 && (body["code"] === "sequence_gap" || body["code"] === "outbox_copied"))) {
      const mine = id === undefined ? undefined : await outbox.eventId(lane, through);
      const other = id !== undefined && (through > Math.max(state.sent, last) || (mine !== undefined && mine !== id));
      if (body["code"] === "outbox_copied" || other) {
        const message = "another device has sent other events under this one's name and numbers";
        await outbox.stop(lane, { code: "outbox_copied", message, has: through });
        return { outcome: "done" };
      }
      if (through > Math.max(state.sent, last)) {
        await outbox.stop(lane, { code: "hub_invalid", message: `the hub says that it has ${through}, and ${Math.max(state.sent, last)} is the last that was sent`, has: through });
        return { outcome: "done" };
      }
      if (through < state.acked) {
        await outbox.stop(lane, { code: "hub_behind", message: `the hub has ${through}, and had ${state.acked} before`, has: through });
        return { outcome: "done" };
      }
      const rejected = Array.isArray(body["rejected"]) ? body["rejected"].length : 0;
      await outbox.ack(lane, through, rejected, id);
      // A hub that takes nothing of what it asked for would be asked for ever.
      holes = status === 409 || through < batch[0]!.seq ? holes + 1 : 0;
      if (holes > 1) return { outcome: "later", message: "the hub takes nothing" };
      continue;
    }
    if (status === 413 && most > 1) {
      most = Math.ceil(most / 4);
      continue;
    }
    const message = typeof body["error"] === "string" ? body["error"] : `the hub answered ${status}`;
    const refused = status === 401 || status === 403 || status === 404 || status === 413;
    return { outcome: refused ? "refused" : "later", message, ...(reply.retryAfter === undefined ? {} : { retryAfter: reply.retryAfter }) };
  }
}

/** One batch, and the id of the line before it; undefined where no answer came. */
async function send(hub: HubSettings, lane: string, outbox: string, batch: readonly Stored[], after: string): Promise<Reply | undefined> {
  const address = hubAddress(hub, `lanes/${lane}/events`);
  // The line that this batch goes on from: a hub that has another one there knows that this outbox is a copy.
  address.searchParams.set("after", after);
  const text = batch.map((stored) => `${lineOf(stored)}\n`).join("");
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: {
        authorization: `Bearer ${hub.key}`,
        "content-type": "application/x-ndjson",
        "content-encoding": "gzip",
        "x-fivefold-outbox": outbox,
      },
      body: await gzip(text),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(SECONDS * 1000),
    });
    const after = Number(response.headers.get("retry-after"));
    const body: unknown = await response.json().catch(() => ({}));
    const members = body !== null && typeof body === "object" ? (body as Record<string, unknown>) : {};
    return { status: response.status, body: members, ...(after > 0 ? { retryAfter: after } : {}) };
  } catch {
    return undefined;
  }
}

async function gzip(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const zipped = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(zipped).arrayBuffer());
}
