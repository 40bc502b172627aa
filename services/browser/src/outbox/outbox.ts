/**
 * The outbox: events that wait for the hub, in IndexedDB, each delivered once or covered by a gap record.
 *
 * `append` resolves when the events are on the disk. Each lane counts 1, 2, 3 … without holes; a hub sees what is missing.
 * How events travel is left to `flush`.
 */

import { FivefoldError } from "../contract/index.js";
import { type Database, type Lane, type Stop, type Store, type Stored, type Writing, writing } from "../storage/database.js";

/** The lanes, in the order in which they are sent. */
export const LANES = ["alerts", "bulk"] as const;
export type LaneName = (typeof LANES)[number];

export type Policy = "reject_new" | "drop_oldest";

/** Bytes of one line, as the hub takes it. */
export const MAX_LINE_BYTES = 256 * 1024;

const SEQ_BYTES = 24;
const BOTH: Store[] = ["lanes", "events"];

/** The place of `"seq":N,` in a line is first, so that a hub finds it in a line that it cannot read. */
export const lineOf = (stored: Stored): string => `{"seq":${stored.seq},${stored.line}`;

const empty = (lane: string): Lane => ({ lane, last: 0, acked: 0, sent: 0, waiting: 0, bytes: 0, rejected: 0, dropped: 0 });

/** A UUID of version 7 (RFC 9562): milliseconds first, so that ids sort by time as far as this clock is right. */
export function uuid7(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 0; at < 6; at++) bytes[at] = Math.floor(now / 2 ** (40 - 8 * at)) % 256;
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const outboxId = (): string => uuid7().replaceAll("-", "").slice(0, 16) + crypto.randomUUID().replaceAll("-", "").slice(16);

/** The id in front of a line. */
const idOf = (stored: Stored | undefined): string | undefined => /^\s*"id":"([^"\\]+)"/.exec(stored?.line ?? "")?.[1];

export class Outbox {
  constructor(
    private readonly database: Database,
    private readonly quotaBytes: number,
    private readonly policy: Policy = "reject_new",
  ) {}

  /** The id of this outbox, made with it: one that a browser has thrown away comes back under another. */
  async id(): Promise<string> {
    const transaction = writing(this.database, ["state"]);
    const state = transaction.objectStore("state");
    let id = (await state.get("outbox")) as string | undefined;
    if (id === undefined) {
      id = outboxId();
      await state.put(id, "outbox");
    }
    await transaction.done;
    return id;
  }

  /**
   * Put events in, each a JSON object as text; gives their numbers once they are on the disk. All of them are kept, or none.
   *
   * Throws `FivefoldError` `storage_failed` where the quota or the disk is full, `too_large` for a line that no hub takes.
   */
  async append(lane: LaneName, events: readonly string[], now = Date.now()): Promise<number[]> {
    const lines = events.map((event) => event.trimStart().slice(1));
    const sizes = lines.map((line) => new TextEncoder().encode(line).length + SEQ_BYTES);
    const added = sizes.reduce((sum, size) => sum + size, 0);
    if (sizes.some((size) => size > MAX_LINE_BYTES)) {
      throw new FivefoldError("too_large", `expected an event of at most ${MAX_LINE_BYTES} bytes, got ${Math.max(...sizes)}`);
    }
    try {
      const transaction = writing(this.database, BOTH);
      try {
        const numbers = await this.put(transaction, lane, lines, sizes, added, now);
        await transaction.done;
        return numbers;
      } catch (error) {
        await given(transaction);
        throw error;
      }
    } catch (error) {
      if (error instanceof FivefoldError) throw error;
      throw new FivefoldError("storage_failed", `the browser did not store it: ${said(error)}`, { help: "make room on this device" });
    }
  }

  private async put(transaction: Writing, name: LaneName, lines: string[], sizes: number[], added: number, now: number): Promise<number[]> {
    const [lanes, events] = [transaction.objectStore("lanes"), transaction.objectStore("events")];
    const all = await lanes.getAll();
    const excess = all.reduce((sum, each) => sum + each.bytes, 0) + added - this.quotaBytes;
    if (excess > 0) {
      if (this.policy === "reject_new" || !(await this.drop(transaction, excess, now))) {
        const help = "bring the device online, so that the outbox empties";
        throw new FivefoldError("storage_failed", `the outbox is full: ${this.quotaBytes} bytes`, { help });
      }
    }
    const lane = (await lanes.get(name)) ?? empty(name);
    const numbers = lines.map((_, at) => lane.last + 1 + at);
    await Promise.all([
      ...numbers.map((seq, at) => events.put({ lane: name, seq, from: seq, gap: false, at: now, line: lines[at]!, bytes: sizes[at]! })),
      lanes.put({ ...lane, last: lane.last + lines.length, waiting: lane.waiting + lines.length, bytes: lane.bytes + added }),
    ]);
    return numbers;
  }

  /** Give up the oldest events, of the last lane first, for a gap record each lane; false where there are not enough. */
  private async drop(transaction: Writing, excess: number, now: number): Promise<boolean> {
    const [lanes, events] = [transaction.objectStore("lanes"), transaction.objectStore("events")];
    let left = excess;
    for (const name of [...LANES].reverse()) {
      const lane = await lanes.get(name);
      if (!lane || left <= 0) continue;
      let [bytes, dropped, waiting] = [0, 0, 0];
      let [from, to] = [0, 0];
      let cursor = await events.openCursor(range(name));
      while (cursor && left + GAP_BYTES > 0) {
        const stored = cursor.value;
        if (!stored.gap) [dropped, waiting] = [dropped + 1, waiting + 1];
        from ||= stored.from;
        to = stored.seq;
        bytes += stored.bytes;
        left -= stored.bytes;
        await cursor.delete();
        cursor = await cursor.continue();
      }
      if (!to) continue;
      const gap = gapRecord(name, from, to, "quota", now);
      left += gap.bytes;
      await events.put(gap);
      await lanes.put({ ...lane, bytes: lane.bytes - bytes + gap.bytes, waiting: lane.waiting - waiting, dropped: lane.dropped + dropped });
    }
    return left <= 0;
  }

  /** The oldest of a lane: at most `most` and, beyond the first, at most `bytes` together. */
  async pending(lane: LaneName, most: number, bytes: number): Promise<Stored[]> {
    const found = await this.database.getAll("events", range(lane), most);
    let sum = 0;
    const end = found.findIndex((stored, at) => (sum += stored.bytes + 1) > bytes && at > 0);
    return end < 0 ? found : found.slice(0, end);
  }

  /** Note that everything up to `through` is about to be sent, before a byte of it is. */
  async sending(name: LaneName, through: number): Promise<void> {
    await this.change(name, (lane) => ({ ...lane, sent: Math.max(lane.sent, through) }));
  }

  /** The id of the event that waits at a number; undefined where none does. A gap record's says nothing of what was sent. */
  async eventId(lane: LaneName, seq: number): Promise<string | undefined> {
    const stored = await this.database.get("events", [lane, seq]);
    return stored?.gap ? undefined : idOf(stored);
  }

  /**
   * The hub has everything up to `through`: those rows, and only those, are deleted. `id` is that of the hub's last line,
   * where the hub has said it.
   */
  async ack(name: LaneName, through: number, rejected = 0, id?: string): Promise<void> {
    const transaction = writing(this.database, BOTH);
    const [lanes, events] = [transaction.objectStore("lanes"), transaction.objectStore("events")];
    const lane = (await lanes.get(name)) ?? empty(name);
    const gone = await events.getAll(IDBKeyRange.bound([name, 0], [name, through]));
    const bytes = gone.reduce((sum, stored) => sum + stored.bytes, 0);
    const waiting = gone.filter((stored) => !stored.gap).length;
    await events.delete(IDBKeyRange.bound([name, 0], [name, through]));
    const { stop: _, ackedId: before, ...rest } = lane;
    const acked = Math.max(lane.acked, through);
    const ackedId = through > lane.acked ? (id ?? idOf(gone.find((stored) => stored.seq === through))) : before;
    await lanes.put({ ...rest, ...(ackedId === undefined ? {} : { ackedId }), acked, bytes: lane.bytes - bytes, waiting: lane.waiting - waiting, rejected: lane.rejected + rejected });
    await transaction.done;
  }

  /** Stop sending a lane: a hub has said what cannot be. Nothing is deleted. */
  async stop(name: LaneName, stop: Stop): Promise<void> {
    await this.change(name, (lane) => ({ ...lane, stop }));
  }

  /**
   * Let stopped lanes go on. What a hub has lost is covered by a gap record, which is sent as events are. An outbox that is
   * a copy goes on under an id of its own: what waits keeps its numbers, behind a gap record of no events for those before.
   */
  async resume(now = Date.now()): Promise<void> {
    const transaction = writing(this.database, ["state", ...BOTH]);
    const [lanes, events] = [transaction.objectStore("lanes"), transaction.objectStore("events")];
    const all = await lanes.getAll();
    const copied = all.some((lane) => lane.stop?.code === "outbox_copied");
    if (copied) await transaction.objectStore("state").put(outboxId(), "outbox");
    for (const lane of all) {
      const { stop, ackedId: _, ...rest } = lane;
      if (copied) {
        const gap = gapRecord(lane.lane, 1, lane.acked, "hub_lost", now, 0);
        if (lane.acked) await events.put(gap);
        await lanes.put({ ...rest, acked: 0, sent: 0, bytes: lane.bytes + (lane.acked ? gap.bytes : 0) });
        continue;
      }
      if (!stop) continue;
      let { bytes } = lane;
      if (stop.code === "hub_behind" && stop.has < lane.acked) {
        const gap = gapRecord(lane.lane, stop.has + 1, lane.acked, "hub_lost", now);
        await events.put(gap);
        bytes += gap.bytes;
      }
      await lanes.put({ ...rest, bytes, acked: Math.min(stop.has, lane.acked) });
    }
    await transaction.done;
  }

  /** The lanes as they stand, in the order in which they are sent. */
  async lanes(): Promise<Lane[]> {
    const found = new Map((await this.database.getAll("lanes")).map((lane) => [lane.lane, lane]));
    return LANES.map((name) => found.get(name) ?? empty(name));
  }

  /** When the oldest event was stored, by this device's clock; undefined where none waits. */
  async oldest(): Promise<number | undefined> {
    const firsts = await Promise.all(LANES.map((name) => this.database.getAll("events", range(name), 1)));
    const times = firsts.flat().map((stored) => stored.at);
    return times.length ? Math.min(...times) : undefined;
  }

  private async change(name: LaneName, change: (lane: Lane) => Lane): Promise<void> {
    const transaction = writing(this.database, ["lanes"]);
    const lanes = transaction.objectStore("lanes");
    await lanes.put(change((await lanes.get(name)) ?? empty(name)));
    await transaction.done;
  }
}

const GAP_BYTES = 256;

const range = (lane: string): IDBKeyRange => IDBKeyRange.bound([lane, 0], [lane, Number.MAX_SAFE_INTEGER]);

function gapRecord(lane: string, from: number, to: number, reason: "quota" | "hub_lost", now: number, count = to - from + 1): Stored {
  const record = { id: uuid7(now), kind: "gap", from_seq: from, to_seq: to, count, reason, at: new Date(now).toISOString() };
  return { lane, seq: to, from, gap: true, at: now, line: JSON.stringify(record).slice(1), bytes: GAP_BYTES };
}

/** Give up a transaction that failed, whether or not it has given up itself. */
async function given(transaction: Writing): Promise<void> {
  try {
    transaction.abort();
  } catch {
    // It is over already.
  }
  await transaction.done.catch(() => undefined);
}

const said = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
