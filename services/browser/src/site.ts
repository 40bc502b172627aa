/**
 * What an export says to its page: written into index.html by `fivefold export --to browser`, read at start.
 */

import type { Policy } from "./outbox/outbox.js";

/** Addresses are relative to the page. */
export interface Site {
  /** `fivefold VERSION` of the export. */
  readonly software: string;
  readonly worker: string;
  readonly runtime: { readonly script: string; readonly wasm: string; readonly wasmSha256: string };
  /** SubjectPublicKeyInfo in DER, in base64: what every model must be signed by. */
  readonly publicKey?: string;
  /** The hub's address; without one nothing is recorded. */
  readonly hub?: string;
  readonly quotaBytes: number;
  readonly policy: Policy;
  /** Seconds between two looks at the published model. */
  readonly pollSeconds: number;
}

/** The page's own folder, as an address that ends with `/`. */
export const folder = (address: string): string => new URL("./", address).href;
