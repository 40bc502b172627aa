/**
 * The worker behind the server's page: scores on WebAssembly what the page also asks the server, beside it.
 *
 * The page fetches a bundle's files with whatever the server asks for, and hands them over; here they are held against their
 * digests, the golden rows are scored, and only then it answers. It asks the server for the runtime alone, and keeps nothing.
 * Messages are those of `worker`: `{id, call, argument}` in, `{id, result}` or `{id, error}` out.
 */

import { ProtocolError } from "./contract/index.js";
import { answerCalls } from "./call-answers.js";
import { runtimeWasm } from "./runtime/runtime-wasm.js";
import { type Files, verified } from "./runtime/manifest.js";
import { prepare, type Runtime, Scorer } from "./runtime/scorer.js";

/** Absolute addresses, and the digest of the WebAssembly. */
interface RuntimeFiles {
  readonly script: string;
  readonly wasm: string;
  readonly wasmSha256: string;
}

interface ModelCalls {
  open: { argument: { runtime: RuntimeFiles; digest: string; files: Files }; result: { largest: number } };
  predict: { argument: { digest: string; body: string; contract: string | undefined }; result: string };
}

let runtime: Promise<Runtime> | undefined;
let scorer: Scorer | undefined;
let opening = 0;

async function loaded({ script, wasm, wasmSha256 }: RuntimeFiles): Promise<Runtime> {
  const [made, bytes] = await Promise.all([import(script) as Promise<Runtime>, runtimeWasm(wasm, wasmSha256)]);
  prepare(made, bytes);
  return made;
}

const calls: { [Name in keyof ModelCalls]: (argument: ModelCalls[Name]["argument"]) => Promise<ModelCalls[Name]["result"]> } = {
  async open({ runtime: files, digest, files: bundle }) {
    const number = ++opening;
    const before = scorer;
    scorer = undefined;
    await before?.close();
    runtime ??= loaded(files).catch((error: unknown) => {
      // What failed for want of a network is tried again with the next model.
      runtime = undefined;
      throw error;
    });
    const opened = await Scorer.open(await runtime, await verified(digest, bundle));
    if (number !== opening) {
      await opened.close();
      throw new ProtocolError("cancelled", "another model was opened");
    }
    scorer = opened;
    return { largest: opened.largest };
  },
  async predict({ digest, body, contract }) {
    if (scorer?.bundle.digest !== digest) throw new ProtocolError("not_ready", "the model is not open");
    const { manifest, views } = scorer.bundle;
    const view = contract === undefined ? views.default : views.find(contract);
    return scorer.predict(body, view, { model: manifest.name, version: manifest.version, bundle: digest, transport: "browser" });
  },
};

answerCalls(calls);
