/**
 * The runtime's WebAssembly, held against its digest: what a page was made with, or nothing.
 */

import { FivefoldError } from "../contract/index.js";
import { BundleInvalid, sha256 } from "./manifest.js";

/** The bytes at an address; throws `FivefoldError` where they cannot be had, `BundleInvalid` where they are others. */
export async function runtimeWasm(address: string, digest: string): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new FivefoldError("not_ready", `the runtime could not be fetched: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const got = await sha256(bytes);
  if (got !== digest) throw new BundleInvalid(`expected sha256 ${digest}, got ${got}`, new URL(address).pathname.slice(1));
  return bytes;
}
