/** What page and worker say to each other. */

import type { Published, Refused } from "./models/model-store.js";
import type { Flushed } from "./outbox/flush.js";
import type { Site } from "./site.js";
import type { Lane } from "./storage/database.js";

/** The model that the page is open with; texts are as they stand in the bundle. */
export interface Opened {
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  readonly software: string;
  /** `NAME@VERSION` that callers get who name no version. */
  readonly contract: string;
  /** The version of the model's own contract, of which the golden rows are. */
  readonly own: string;
  readonly contracts: readonly string[];
  readonly manifest: string;
  readonly golden: string;
  readonly contractTexts: Readonly<Record<string, string>>;
}

/** How this device stands. */
export interface Status {
  readonly open: Published;
  /** The largest difference of any float of the golden answers from what was recorded. */
  readonly largest: number;
  readonly active?: Published;
  readonly previous?: Published;
  readonly refused?: Refused;
  readonly outbox?: {
    readonly lanes: readonly Lane[];
    readonly oldest: number | undefined;
    readonly quotaBytes: number;
    readonly persisted: boolean;
    readonly device?: string;
    readonly flushed?: Flushed;
  };
}

export interface Answered {
  readonly text: string;
  readonly contract: string;
  readonly ignored: readonly string[];
  readonly deprecated: string | undefined;
  readonly sunset: string | undefined;
  /** Whether the answer is on the disk for the hub. */
  readonly saved?: boolean;
  /** Why it is not. */
  readonly unsaved?: { error: string; code: string };
}

export interface Calls {
  start: { argument: { site: Site; scope: string }; result: Opened };
  predict: { argument: { body: string; contract: string | undefined }; result: Answered };
  status: { argument: undefined; result: Status };
  connect: { argument: { device: string; key: string }; result: void };
  flush: { argument: undefined; result: void };
  look: { argument: undefined; result: void };
  resume: { argument: undefined; result: void };
  rollBack: { argument: undefined; result: void };
}
