/**
 * The scorer of the browser: the one place where a model is called, on ONNX Runtime's WebAssembly.
 *
 * `open` takes files that are verified already and proves that the model gives its golden answers here; then `predict`
 * reads a body, scores it and writes the answer as the server does. Which thread it runs in is left to `worker`.
 */

import type { InferenceSession, Tensor } from "onnxruntime-common";
import {
  type Columns,
  ContractError,
  type Dtype,
  encodeAnswer,
  FivefoldError,
  fromHalf,
  ModelFailed,
  type ModelTensor,
  type View,
} from "../contract/index.js";
import { type Feed, feedOf, type TensorMaker, valuesOf } from "./feeds.js";
import { compared, type Comparison, GOLDEN, goldenRows } from "./golden.js";
import { AnswersDiffer, BundleInvalid, decode, MANIFEST, type OutputBinding, type VerifiedBundle } from "./manifest.js";

/** What is used of onnxruntime-web. */
export interface Runtime {
  readonly env: { wasm: { wasmBinary?: ArrayBufferLike | Uint8Array; numThreads?: number; proxy?: boolean }; logLevel?: string };
  readonly InferenceSession: { create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: TensorMaker;
}

/** Rows of one request, as the server's default. */
export const MAX_ROWS = 10_000;

const MODEL = "model.onnx";

/** Hand the runtime its verified WebAssembly, so that it looks for no file; one thread, and none of its own workers. */
export function prepare(runtime: Runtime, wasm: Uint8Array): void {
  runtime.env.wasm.wasmBinary = wasm;
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.proxy = false;
  runtime.env.logLevel = "error";
}

export class Scorer {
  private constructor(
    readonly bundle: VerifiedBundle,
    /** How far the golden answers are from the recorded ones: the largest difference of any float. */
    readonly largest: number,
    private readonly session: InferenceSession,
    private readonly feeds: ReadonlyMap<string, Feed>,
    private readonly outputs: readonly OutputBinding[],
  ) {}

  /** Open a verified bundle and score its golden rows; throws `BundleInvalid`. */
  static async open(runtime: Runtime, bundle: VerifiedBundle): Promise<Scorer> {
    const binding = bundle.manifest.binding!;
    let session: InferenceSession;
    try {
      session = await runtime.InferenceSession.create(bundle.files.get(MODEL)!, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      throw new BundleInvalid(`ONNX Runtime Web refuses the model: ${firstLine(error)}`, MODEL);
    }
    try {
      const fields = new Map(bundle.contract.inputs.map((field) => [field.name, field]));
      const declared = new Map(session.inputMetadata.map((each) => [each.name, each]));
      const feeds = new Map<string, Feed>();
      binding.inputs.forEach((item, index) => {
        const found = declared.get(item.model_input);
        const where = `binding.inputs[${index}]`;
        if (!found?.isTensor) throw new BundleInvalid(`${where}.model_input: the model has no tensor '${item.model_input}'`, MANIFEST);
        declared.delete(item.model_input);
        feeds.set(item.model_input, feedOf(item, item.fields.map((name) => fields.get(name)!), found, where, runtime.Tensor));
      });
      for (const left of declared.keys()) throw new BundleInvalid(`binding.inputs: the model's input '${left}' is not bound`, MANIFEST);
      const answered = new Set(session.outputNames);
      binding.outputs.forEach((item, index) => {
        if (answered.has(item.model_output)) return;
        throw new BundleInvalid(`binding.outputs[${index}].model_output: the model has no output '${item.model_output}'`, MANIFEST);
      });
      const opened = new Scorer(bundle, 0, session, feeds, binding.outputs);
      const { largest, difference } = await opened.golden();
      if (difference !== undefined) throw new AnswersDiffer(difference, GOLDEN, "this browser gives other answers than the packed model did");
      return new Scorer(bundle, largest, session, feeds, binding.outputs);
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  /** Columns of the contract's inputs to columns of its outputs; throws `ContractError` and `ModelFailed`. */
  async score(columns: Columns): Promise<Columns> {
    const { contract } = this.bundle;
    const { rows } = columns;
    const answer = new Map<string, ModelTensor>();
    if (rows > 0) {
      const feeds: Record<string, Tensor> = {};
      for (const [name, feed] of this.feeds) feeds[name] = feed(columns);
      const raw = await this.run(feeds);
      const shapes = new Map(contract.outputs.map((field) => [field.name, field.shape]));
      for (const item of this.outputs) answer.set(item.field, picked(raw[item.model_output]!, item, rows, shapes.get(item.field)!));
    } else {
      for (const field of contract.outputs) answer.set(field.name, { dtype: field.dtype, shape: [0, ...field.shape], data: [] });
    }
    return contract.checkOutputs(answer, rows);
  }

  /** The answer to a V1 body under a view, as the server writes it; throws `FivefoldError`. */
  async predict(body: string, view: View, metadata: Readonly<Record<string, string>>): Promise<string> {
    const request = view.contract.readRows(body, { maxRows: MAX_ROWS });
    const columns = view.back(await this.score(view.into(request.columns)));
    return encodeAnswer(columns, request.byColumn, { ...metadata, contract: view.name });
  }

  /** Score the golden rows together, and the first one alone. */
  async golden(): Promise<Comparison> {
    const rows = goldenRows(decode(this.bundle.files.get(GOLDEN)!, GOLDEN));
    let largest = 0;
    for (const some of rows.length > 1 ? [rows, rows.slice(0, 1)] : [rows]) {
      const body = `{"instances":[${some.map(({ given }) => given).join(",")}]}`;
      try {
        const got = await this.score(this.bundle.contract.read(body));
        const { largest: apart, difference } = compared(this.bundle.contract.outputs, got, some, this.bundle.manifest.tolerance);
        largest = Math.max(largest, apart);
        if (difference !== undefined) return { largest, difference };
      } catch (error) {
        if (!(error instanceof FivefoldError)) throw error;
        throw new AnswersDiffer(`the golden rows cannot be scored: ${error.path ? `${error.path}: ` : ""}${error.message}`, GOLDEN);
      }
    }
    return { largest, difference: undefined };
  }

  async close(): Promise<void> {
    await this.session.release();
  }

  private async run(feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
    try {
      return (await this.session.run(feeds)) as Record<string, Tensor>;
    } catch (error) {
      if (error instanceof ContractError) throw error;
      throw new ModelFailed(`the model '${this.bundle.manifest.name}' failed on this input: ${firstLine(error)}`);
    }
  }
}

/** An output as the contract has it: one column of it, or other sizes of 1, which are only spelling. */
function picked(tensor: Tensor, item: OutputBinding, rows: number, shape: readonly number[]): ModelTensor {
  const dtype = tensor.type as Dtype;
  const data = valuesOf(tensor, fromHalf);
  if (item.column !== undefined) {
    const [first, width] = tensor.dims;
    const { column } = item;
    if (tensor.dims.length !== 2 || first !== rows || column >= width!) {
      throw new ModelFailed(`expected a column ${column} from the model, got shape [${tensor.dims.join(", ")}]`, { path: `outputs.${item.field}` });
    }
    const values = Array.from({ length: rows }, (_, row) => (data as unknown[])[row * width! + column]);
    const kind = data.constructor as { from?: (values: unknown[]) => ModelTensor["data"] };
    return { dtype, shape: [rows], data: Array.isArray(data) ? (values as string[]) : kind.from!(values) };
  }
  const core = (sizes: readonly number[]) => sizes.filter((size) => size !== 1).join();
  const folds = tensor.dims[0] === rows && core(tensor.dims.slice(1)) === core(shape);
  return { dtype, shape: folds ? [rows, ...shape] : tensor.dims, data };
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n")[0]!.slice(0, 300);
}
