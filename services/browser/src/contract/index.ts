/**
 * The contract in the browser: the same values are accepted and refused as by the server, with the same codes and paths.
 *
 * Reading bodies, checking a model's answer, writing it as JSON, and what other contract versions' callers send and get
 * are here. Running the model, and everything about a network or a disk, is left to whoever calls.
 */

export { NotAdaptable } from "./adapter.js";
export { type Column, Columns, type Values } from "./columns.js";
export { Contract } from "./contract.js";
export { encodeAnswer, encodeRows, encodeTensors } from "./encode.js";
export {
  ContractError,
  ContractInvalid,
  type ErrorBody,
  FivefoldError,
  ModelFailed,
  ProtocolError,
  type Violation,
} from "./errors.js";
export type { Limits } from "./exact-json.js";
export type { Dtype, Field, Kind } from "./field.js";
export { fromHalf, toHalf } from "./numbers.js";
export type { ModelTensor } from "./outputs.js";
export type { TensorRequest } from "./tensors.js";
export { type CarriedVersion, View, Views } from "./views.js";
