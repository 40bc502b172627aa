/**
 * What a device tells its hub of itself, as gateways do: the model that it serves, the last one that it turned away, and
 * what waits. Protocol version 1, `PUT /v1/edge/{device}/report`. When to tell is left to the callers.
 */

import type { Published, Refused } from "../models/model-store.js";
import type { Lane } from "../storage/database.js";
import type { HubSettings } from "./flush.js";
import { hubAddress } from "./hub-address.js";

const SECONDS = 60;
const MOST_REASON = 500;

/** How this device stands. */
export interface Standing {
  readonly outbox: string;
  readonly software: string;
  readonly serves: Published;
  readonly refused: Refused | undefined;
  readonly lanes: readonly Lane[];
  readonly oldest: number | undefined;
}

const model = ({ name, version, digest }: Published) => ({ name, version, digest: `sha256:${digest}` });

/** The report's body, and what it says of models: a change of that is told at once. */
export function reportOf({ outbox, software, serves, refused, lanes, oldest }: Standing): { models: string; body: string } {
  const models = [
    { ...model(serves), state: "active" },
    ...(refused ? [{ ...model(refused), state: refused.code === "rolled_back" ? "rolled_back" : "refused", reason: refused.message.slice(0, MOST_REASON) }] : []),
  ];
  const backlog = Object.fromEntries(lanes.map(({ lane, waiting }) => [lane, waiting]));
  const stopped = Object.fromEntries(lanes.flatMap(({ lane, stop }) => (stop ? [[lane, stop.code]] : [])));
  const body = { models, outbox, backlog, stopped, oldest: oldest === undefined ? null : new Date(oldest).toISOString(), software };
  return { models: JSON.stringify(models), body: JSON.stringify(body) };
}

/** Send a report; whether the hub took it. */
export async function sendReport(hub: HubSettings, body: string): Promise<boolean> {
  try {
    const response = await fetch(hubAddress(hub, "report"), {
      method: "PUT",
      headers: { authorization: `Bearer ${hub.key}`, "content-type": "application/json" },
      body,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(SECONDS * 1000),
    });
    return response.ok;
  } catch {
    return false;
  }
}
