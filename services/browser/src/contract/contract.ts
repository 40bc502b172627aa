/**
 * The typed contract: two ordered lists of fields, the readers of bodies under its inputs, the check of a model's answer
 * under its outputs.
 */

import type { Columns } from "./columns.js";
import type { Limits } from "./exact-json.js";
import type { Field } from "./field.js";
import { checkOutputs, type ModelTensor } from "./outputs.js";
import { parseContract, type Parsed } from "./parse.js";
import { Records } from "./records.js";
import { type TensorRequest, Tensors } from "./tensors.js";

export class Contract {
  readonly name: string;
  readonly version: string;
  readonly description: string | undefined;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  private readonly records: Records;
  private readonly tensors: Tensors;

  private constructor(parsed: Parsed) {
    this.name = parsed.name;
    this.version = parsed.version;
    this.description = parsed.description;
    this.inputs = parsed.inputs;
    this.outputs = parsed.outputs;
    this.records = new Records(parsed.inputs);
    this.tensors = new Tensors(parsed.inputs, parsed.outputs);
  }

  /** Read contract.json; throws `ContractInvalid` with the JSON path of the first thing that is wrong. */
  static parse(text: string | Uint8Array): Contract {
    return new Contract(parseContract(text));
  }

  /** The columns of a V1 body; throws `ContractError`. */
  read(body: string | Uint8Array, limits: Limits = {}): Columns {
    return this.readRows(body, limits).columns;
  }

  /** A V1 body, and whether it came by column (`inputs`), so that its answer goes by column (`outputs`). */
  readRows(body: string | Uint8Array, limits: Limits = {}): { columns: Columns; byColumn: boolean } {
    return this.records.readBody(body, limits);
  }

  /** A V2 body with its data in the JSON; throws `ContractError`, or `ProtocolError` for data that lies elsewhere. */
  readTensors(body: string | Uint8Array, limits: Limits = {}): TensorRequest {
    return this.tensors.readBody(body, limits);
  }

  /** A model's answer, output by output, as columns; throws `ModelFailed` where it leaves the contract. */
  checkOutputs(
    answer: ReadonlyMap<string, ModelTensor> | Readonly<Record<string, ModelTensor>>,
    rows: number,
  ): Columns {
    return checkOutputs(this.outputs, answer, rows);
  }
}
