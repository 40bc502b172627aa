/**
 * A bundle's files held against bundle.json, and bundle.json against its digest: nothing else is ever run.
 *
 * Where the files come from and where they are kept is left to `models`, opening the model to `scorer`.
 */

import { Contract, type Dtype, FivefoldError, Views } from "../contract/index.js";

/** One input of the model and the fields that feed it; with `stack` it is [rows, fields.length]. */
export interface InputBinding {
  readonly model_input: string;
  readonly fields: readonly string[];
  readonly dtype: Dtype;
  readonly stack?: boolean;
  readonly null?: string;
}

/** The model output that answers a field; `column` picks one column of a 2-D output. */
export interface OutputBinding {
  readonly field: string;
  readonly model_output: string;
  readonly column?: number;
}

export interface Binding {
  readonly inputs: readonly InputBinding[];
  readonly outputs: readonly OutputBinding[];
}

export interface FileEntry {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

interface VersionEntry {
  readonly version: string;
  readonly newer?: boolean;
  readonly deprecated?: string;
  readonly sunset?: string;
}

/** bundle.json, as far as this room reads it. */
export interface Manifest {
  readonly format: number;
  readonly name: string;
  readonly version: string;
  readonly runtime: string;
  readonly targets: readonly string[];
  readonly contract: { readonly name: string; readonly version: string };
  readonly tolerance: number;
  readonly files: readonly FileEntry[];
  readonly binding?: Binding;
  readonly contracts?: readonly VersionEntry[];
  readonly default_contract?: string;
}

export const MANIFEST = "bundle.json";
export const SIGNATURE = "bundle.sig";

/** A bundle that must not be served; `path` is the file inside it. */
export class BundleInvalid extends FivefoldError {
  constructor(message: string, path: string, help?: string) {
    super("bundle_invalid", message, { path, help });
  }
}

/** A whole bundle whose model does not give the recorded answers here. */
export class AnswersDiffer extends BundleInvalid {}

export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** The SHA-256 of bytes in hexadecimal. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const decode = (bytes: Uint8Array, path: string): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new BundleInvalid("expected UTF-8", path);
  }
};

/** bundle.json of this digest; throws `BundleInvalid` where the bytes are others, or it cannot run here. */
export async function readManifest(bytes: Uint8Array<ArrayBuffer>, digest: string): Promise<Manifest> {
  const got = await sha256(bytes);
  if (got !== digest) throw new BundleInvalid(`expected sha256 ${digest}, got ${got}`, MANIFEST);
  const manifest = JSON.parse(decode(bytes, MANIFEST)) as Manifest;
  if (manifest.format !== 1) throw new BundleInvalid(`expected format 1, got ${manifest.format}`, MANIFEST);
  if (manifest.runtime !== "onnx" || !manifest.targets.includes("browser") || !manifest.binding) {
    throw new BundleInvalid(`a ${manifest.runtime} model for ${manifest.targets.join(", ")} does not run here`, MANIFEST);
  }
  return manifest;
}

/** Refuse a file that is not the listed one; throws `BundleInvalid` with its path. */
export async function checkFile(entry: FileEntry, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  if (bytes.length !== entry.bytes) {
    throw new BundleInvalid(`expected ${entry.bytes} bytes, got ${bytes.length}`, entry.path);
  }
  const got = await sha256(bytes);
  if (got !== entry.sha256) throw new BundleInvalid(`expected sha256 ${entry.sha256}, got ${got}`, entry.path);
}

/** Refuse a signature that the key did not make; `key` is a SubjectPublicKeyInfo in DER of an Ed25519 key. */
export async function checkSignature(files: Files, key: Uint8Array<ArrayBuffer>): Promise<void> {
  const signature = files.get(SIGNATURE);
  if (!signature) throw new BundleInvalid("the bundle is not signed, and this page asks for a signature", SIGNATURE);
  let pinned: CryptoKey;
  try {
    pinned = await crypto.subtle.importKey("spki", key, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    throw new BundleInvalid("this browser cannot verify Ed25519 signatures", SIGNATURE, "bring it up to date");
  }
  if (!(await crypto.subtle.verify({ name: "Ed25519" }, pinned, signature, files.get(MANIFEST)!))) {
    throw new BundleInvalid(`the pinned key did not make this signature of ${MANIFEST}`, SIGNATURE);
  }
}

/** Verified files of one bundle. */
export interface VerifiedBundle {
  readonly digest: string;
  readonly manifest: Manifest;
  readonly contract: Contract;
  readonly views: Views;
  readonly files: Files;
}

/** All files of a bundle, verified; `keys`, where there is one, is what must have signed it. Throws `BundleInvalid`. */
export async function verified(digest: string, files: Files, key?: Uint8Array<ArrayBuffer>): Promise<VerifiedBundle> {
  const raw = files.get(MANIFEST);
  if (!raw) throw new BundleInvalid("the bundle has no such file", MANIFEST);
  const manifest = await readManifest(raw, digest);
  if (key) await checkSignature(files, key);
  for (const entry of manifest.files) {
    const bytes = files.get(entry.path);
    if (!bytes) throw new BundleInvalid("the bundle has no such file", entry.path);
    await checkFile(entry, bytes);
  }
  const contract = Contract.parse(files.get("contract.json")!);
  const carried = (manifest.contracts ?? []).map((each) => ({
    contract: Contract.parse(files.get(`contracts/${each.version}.json`)!),
    ...(each.newer === undefined ? {} : { newer: each.newer }),
    ...(each.deprecated === undefined ? {} : { deprecated: each.deprecated }),
    ...(each.sunset === undefined ? {} : { sunset: each.sunset }),
  }));
  const views = Views.of(manifest.name, contract, carried, manifest.default_contract ?? contract.version);
  return { digest, manifest, contract, views, files };
}
