/**
 * The page's database: what is known of models and the hub, and the outbox's lanes and events.
 *
 * Every transaction that changes something is `strict`: it is done when it is on the disk, not when the system has it.
 */

import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB } from "idb";

/** An event that waits, or a gap record in the place of events. */
export interface Stored {
  readonly lane: string;
  /** From 1 on without holes; of a gap record, the last that it covers. */
  readonly seq: number;
  /** The first that it covers: `seq` itself, but for a gap record. */
  readonly from: number;
  readonly gap: boolean;
  /** Milliseconds since 1970 of this device's clock. */
  readonly at: number;
  /** The line behind its `seq`. */
  readonly line: string;
  readonly bytes: number;
}

/** Why a lane is not sent any more, until a person decides. */
export interface Stop {
  readonly code: "hub_behind" | "hub_invalid" | "outbox_copied";
  readonly message: string;
  /** What the hub says that it has. */
  readonly has: number;
}

/** The state of a lane. */
export interface Lane {
  readonly lane: string;
  readonly last: number;
  readonly acked: number;
  /** The id of the last line that the hub has; missing where it is not known. */
  readonly ackedId?: string;
  /** The highest number that was ever sent. */
  readonly sent: number;
  readonly waiting: number;
  readonly bytes: number;
  /** Events that the hub took into quarantine. */
  readonly rejected: number;
  /** Events that were given up for others, each covered by a gap record. */
  readonly dropped: number;
  readonly stop?: Stop;
}

export interface Schema extends DBSchema {
  state: { key: string; value: unknown };
  lanes: { key: string; value: Lane };
  events: { key: [string, number]; value: Stored };
}

export type Database = IDBPDatabase<Schema>;
export type Store = "state" | "lanes" | "events";
export type Writing = IDBPTransaction<Schema, Store[], "readwrite">;

/** The database of the page whose files lie below the address `scope`. */
export function openDatabase(scope: string): Promise<Database> {
  return openDB<Schema>(`fivefold:${new URL(scope).pathname}`, 1, {
    upgrade(database) {
      database.createObjectStore("state");
      database.createObjectStore("lanes", { keyPath: "lane" });
      database.createObjectStore("events", { keyPath: ["lane", "seq"] });
    },
    blocking(_current, _blocked, event) {
      // A newer page in another tab wants another form of the database: an old one never stands in its way.
      (event.target as IDBDatabase).close();
    },
  });
}

/** A transaction that is on the disk once its `done` resolves. */
export const writing = (database: Database, stores: Store[]): Writing => database.transaction(stores, "readwrite", { durability: "strict" });

/** A value of the store `state`, or undefined. */
export async function recall<T>(database: Database, key: string): Promise<T | undefined> {
  return (await database.get("state", key)) as T | undefined;
}

/** Put a value into the store `state`, on the disk when it resolves. */
export async function remember(database: Database, key: string, value: unknown): Promise<void> {
  const transaction = writing(database, ["state"]);
  const put = value === undefined ? transaction.objectStore("state").delete(key) : transaction.objectStore("state").put(value, key);
  await Promise.all([put, transaction.done]);
}
