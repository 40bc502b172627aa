/**
 * contract.json to its fields, read strictly: the first thing that is wrong is refused with its JSON path, in the order in
 * which the server's reader finds it.
 */

import { readRow } from "./cells.js";
import { ContractError, ContractInvalid } from "./errors.js";
import { type Json, type JsonObject, parse as parseJson } from "./exact-json.js";
import { type Dtype, DTYPES, Field, type FieldParts, type GivenNumber, kindOf, rangeOf } from "./field.js";
import { describe, Findings } from "./findings.js";
import { type FloatType, Literal, integer, narrow, shownFloat } from "./numbers.js";
import { Pattern } from "./pattern.js";
import { nearest } from "./suggestion.js";
import { fromBase64, named, wellFormed } from "./text.js";
import { isNumber, wideOf } from "./values.js";

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/;
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/;

const KEYWORDS = [
  "name",
  "dtype",
  "shape",
  "minimum",
  "maximum",
  "enum",
  "nullable",
  "null_value",
  "default",
  "allow_nan",
  "minLength",
  "maxLength",
  "pattern",
  "unit",
  "description",
  "aliases",
  "labels",
  "unknown",
];

/** What a contract consists of. */
export interface Parsed {
  readonly name: string;
  readonly version: string;
  readonly description: string | undefined;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
}

/** Read and check a contract; throws `ContractInvalid`. */
export function parseContract(text: string | Uint8Array): Parsed {
  const data = jsonOf(text);
  if (!(data instanceof Map)) throw new ContractInvalid(`expected an object, got ${typeOf(data)}`);
  known(data, ["format", "name", "version", "description", "inputs", "outputs"], "");
  const format = data.get("format") ?? null;
  if (!(isNumber(format) && wideOf(format) === 1)) {
    throw new ContractInvalid(`expected format 1, got ${shown(format)}`, { path: "format" });
  }
  const name = textOf(data, "name", "");
  if (!NAME.test(name)) {
    const help = "a letter, then letters, digits, _ . -";
    throw new ContractInvalid(`${named(name)} is not a name`, { path: "name", help });
  }
  const version = textOf(data, "version", "");
  if (!VERSION.test(version)) {
    throw new ContractInvalid(`${named(version)} is not a version`, { path: "version", help: "such as 1.0.0" });
  }
  const description = optionalText(data, "description", "");
  return { name, version, description, inputs: fieldsOf(data, "inputs"), outputs: fieldsOf(data, "outputs") };
}

function jsonOf(text: string | Uint8Array): Json {
  try {
    const decoded =
      typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text);
    return parseJson(decoded, false);
  } catch (error) {
    if (error instanceof ContractError) throw new ContractInvalid(error.message);
    if (error instanceof TypeError) throw new ContractInvalid("not JSON: other bytes than UTF-8");
    if (error instanceof RangeError) throw new ContractInvalid("not JSON: nested too deeply");
    throw error;
  }
}

function typeOf(value: Json | undefined): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return "a boolean";
  if (isNumber(value)) return "a number";
  if (typeof value === "string") return "a string";
  return Array.isArray(value) ? "an array" : "an object";
}

/** A value as a sentence about the contract itself shows it. */
function shown(value: Json | undefined): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return named(value);
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (value instanceof Map) return `{${[...value].map(([name, each]) => `${named(name)}: ${shown(each)}`).join(", ")}}`;
  return typeof value === "bigint" ? String(value) : describe(value);
}

function known(data: JsonObject, keywords: readonly string[], path: string): void {
  for (const key of data.keys()) {
    if (keywords.includes(key)) continue;
    const near = nearest(key, keywords);
    const allowed = `allowed: ${keywords.join(", ")}`;
    const help = near ? `${near} ${allowed}` : allowed;
    throw new ContractInvalid(`unknown keyword ${named(key)}`, { path: join(path, key), help });
  }
}

function join(path: string, key: string): string {
  return path ? `${path}.${key}` : key;
}

function textOf(data: JsonObject, key: string, path: string): string {
  const where = join(path, key);
  if (!data.has(key)) throw new ContractInvalid(`'${key}' is missing`, { path: where });
  const value = data.get(key);
  if (typeof value !== "string" || !value) {
    throw new ContractInvalid(`expected a non-empty string, got ${typeOf(value)}`, { path: where });
  }
  refuseSurrogates(value, where);
  return value;
}

function optionalText(data: JsonObject, key: string, path: string): string | undefined {
  return (data.get(key) ?? null) === null ? undefined : textOf(data, key, path);
}

function refuseSurrogates(value: string, path: string): void {
  if (!wellFormed(value)) throw new ContractInvalid("expected valid UTF-8, got a lone surrogate", { path });
}

function fieldsOf(data: JsonObject, side: "inputs" | "outputs"): readonly Field[] {
  const raw = data.get(side);
  if (!Array.isArray(raw) || !raw.length) {
    throw new ContractInvalid(`expected a non-empty array of fields, got ${typeOf(raw)}`, { path: side });
  }
  const taken = new Map<string, string>();
  return raw.map((item, index) => {
    const path = `${side}[${index}]`;
    if (!(item instanceof Map)) throw new ContractInvalid(`expected an object, got ${typeOf(item)}`, { path });
    const field = fieldOf(item, path, side === "outputs");
    for (const name of [field.name, ...field.aliases]) {
      const by = taken.get(name);
      if (by !== undefined) throw new ContractInvalid(`the name ${named(name)} is already taken by ${by}`, { path });
      taken.set(name, path);
    }
    return field;
  });
}

function fieldOf(data: JsonObject, path: string, output: boolean): Field {
  known(data, KEYWORDS, path);
  const name = textOf(data, "name", path);
  if (!NAME.test(name)) {
    const help = "a letter or _, then letters, digits, _ . -";
    throw new ContractInvalid(`${named(name)} is not a name`, { path: `${path}.name`, help });
  }
  const dtype = dtypeOf(textOf(data, "dtype", path), `${path}.dtype`);
  const parts: FieldParts = { name, dtype };
  parts.unit = optionalText(data, "unit", path);
  parts.description = optionalText(data, "description", path);
  parts.nullable = flag(data, "nullable", path);
  parts.allowNan = flag(data, "allow_nan", path);
  parts.shape = shapeOf(data.has("shape") ? data.get("shape")! : [], `${path}.shape`);
  parts.aliases = namesOf(data.has("aliases") ? data.get("aliases")! : [], `${path}.aliases`);
  parts.labels = namesOf(data.has("labels") ? data.get("labels")! : [], `${path}.labels`);
  const last = parts.shape.at(-1);
  if (parts.labels.length && parts.labels.length !== last) {
    const message = `${parts.labels.length} labels for a last dimension of ${last ?? "none"}`;
    throw new ContractInvalid(message, { path: `${path}.labels` });
  }
  checkNullability(data, parts, path, output);
  if (data.has("null_value")) parts.nullValue = valueOf(data.get("null_value")!, dtype, `${path}.null_value`);
  const numeric = kindOf(dtype) === "int" || kindOf(dtype) === "float";
  for (const keyword of ["minimum", "maximum"] as const) {
    const value = data.get(keyword) ?? null;
    if (value === null) continue;
    const where = `${path}.${keyword}`;
    if (!numeric) throw new ContractInvalid(`${keyword} needs a numeric dtype, not ${dtype}`, { path: where });
    parts[keyword] = valueOf(value, dtype, where) as GivenNumber;
  }
  const { minimum, maximum } = parts;
  if (minimum !== undefined && maximum !== undefined && comparable(minimum) > comparable(maximum)) {
    const message = `minimum ${describe(minimum)} is above maximum ${describe(maximum)}`;
    throw new ContractInvalid(message, { path: `${path}.minimum` });
  }
  for (const keyword of ["minLength", "maxLength"] as const) {
    const value = data.get(keyword) ?? null;
    if (value !== null) parts[keyword] = lengthOf(value, dtype, `${path}.${keyword}`);
  }
  if ((parts.minLength ?? 0) > (parts.maxLength ?? Infinity)) {
    throw new ContractInvalid("minLength is above maxLength", { path: `${path}.minLength` });
  }
  if ((data.get("pattern") ?? null) !== null) {
    parts.pattern = textOf(data, "pattern", path);
    const where = `${path}.pattern`;
    if (dtype !== "string") throw new ContractInvalid(`pattern needs dtype string, not ${dtype}`, { path: where });
    Pattern.parse(parts.pattern, where);
  }
  const members = data.get("enum") ?? null;
  if (members !== null) parts.enum = enumOf(members, dtype, `${path}.enum`);
  const unknown = data.get("unknown") ?? null;
  if (unknown !== null) parts.unknown = unknownOf(unknown, parts, `${path}.unknown`, output);
  if (data.has("default")) {
    const where = `${path}.default`;
    if (output) throw new ContractInvalid("an output has no default", { path: where });
    parts.default = defaultOf(data.get("default")!, new Field(parts), where);
  }
  return new Field(parts);
}

function dtypeOf(text: string, path: string): Dtype {
  const found = DTYPES.find((dtype) => dtype === text);
  if (!found) {
    const help = nearest(text, DTYPES) ?? DTYPES.join(", ");
    throw new ContractInvalid(`unknown dtype ${named(text)}`, { path, help });
  }
  return found;
}

function flag(data: JsonObject, keyword: string, path: string): boolean {
  const value = data.has(keyword) ? data.get(keyword)! : false;
  if (typeof value !== "boolean") {
    throw new ContractInvalid(`expected true or false, got ${typeOf(value)}`, { path: `${path}.${keyword}` });
  }
  return value;
}

/** A number or bigint that compares as the given number does. */
function comparable(value: GivenNumber): number | bigint {
  return value instanceof Literal ? value.value : value;
}

function shapeOf(value: Json, path: string): readonly number[] {
  if (!Array.isArray(value)) throw new ContractInvalid(`expected an array of sizes, got ${typeOf(value)}`, { path });
  let product = 1;
  const shape = value.map((size, index) => {
    if (!(typeof size === "bigint" || (typeof size === "number" && Number.isInteger(size))) || size < 1) {
      const help = size === -1 ? "-1 is reserved; a row's shape is fixed" : undefined;
      throw new ContractInvalid(`expected a positive size, got ${shown(size)}`, { path: `${path}[${index}]`, help });
    }
    product *= Number(size);
    return Number(size);
  });
  if (product > 2 ** 24 || shape.length > 8) {
    throw new ContractInvalid("a row's array may have at most 8 dimensions and 16,777,216 elements", { path });
  }
  return shape;
}

function namesOf(value: Json, path: string): readonly string[] {
  if (!Array.isArray(value)) throw new ContractInvalid(`expected an array of strings, got ${typeOf(value)}`, { path });
  const out = value.map((item, index) => {
    const where = `${path}[${index}]`;
    if (typeof item !== "string" || !item) {
      throw new ContractInvalid(`expected a non-empty string, got ${shown(item)}`, { path: where });
    }
    refuseSurrogates(item, where);
    return item;
  });
  if (new Set(out).size !== out.length) throw new ContractInvalid("the same name twice", { path });
  return out;
}

function checkNullability(data: JsonObject, { dtype, nullable, allowNan }: FieldParts, path: string, output: boolean): void {
  const float = kindOf(dtype) === "float";
  if (allowNan) {
    const where = `${path}.allow_nan`;
    if (!float) throw new ContractInvalid(`allow_nan needs a float dtype, not ${dtype}`, { path: where });
    if (output) {
      const help = "declare it nullable";
      throw new ContractInvalid("an output that may be NaN has no spelling in JSON", { path: where, help });
    }
    if ((data.get("enum") ?? null) !== null) {
      throw new ContractInvalid("allow_nan and enum contradict each other", { path: where });
    }
  }
  const where = `${path}.null_value`;
  if (data.has("null_value")) {
    if (nullable && !float) return;
    const why = float ? "in a float NaN is null" : "the field is not nullable";
    throw new ContractInvalid(`null_value has no meaning here: ${why}`, { path: where });
  }
  if (nullable && !float) {
    const message = `a nullable ${dtype} declares null_value, the value that the model gets for null`;
    throw new ContractInvalid(message, { path: where });
  }
}

/** One scalar of a keyword, as the dtype has it. */
function valueOf(value: Json, dtype: Dtype, path: string): GivenNumber | boolean | string {
  const kind = kindOf(dtype);
  if (kind === "int" || kind === "float") {
    if (!isNumber(value)) throw new ContractInvalid(`expected a number, got ${typeOf(value)}`, { path });
    const wide = wideOf(value);
    if (kind === "float") {
      if (!Number.isFinite(narrow(dtype as FloatType, wide))) {
        throw new ContractInvalid(`${describe(value)} is outside ${dtype}`, { path });
      }
      // An integer that binary64 would change is shown as what it becomes.
      return typeof value === "bigint" && BigInt(wide) !== value ? new Literal(wide) : value;
    }
    if (typeof value !== "bigint" && !Number.isInteger(wide)) {
      throw new ContractInvalid(`expected an integer, got ${shownFloat(wide)}`, { path });
    }
    const exact = value instanceof Literal ? integer(BigInt(wide)) : value;
    const [low, high] = rangeOf(dtype);
    if (exact < low || exact > high) throw new ContractInvalid(`${describe(value)} is outside ${dtype}`, { path });
    return exact;
  }
  if (kind === "bool") {
    if (typeof value !== "boolean") throw new ContractInvalid(`expected true or false, got ${typeOf(value)}`, { path });
    return value;
  }
  if (typeof value !== "string") throw new ContractInvalid(`expected a string, got ${typeOf(value)}`, { path });
  refuseSurrogates(value, path);
  if (kind === "bytes" && !fromBase64(value)) throw new ContractInvalid("not base64", { path });
  return value;
}

function lengthOf(value: Json, dtype: Dtype, path: string): number {
  if (dtype !== "string" && dtype !== "bytes") {
    throw new ContractInvalid(`lengths need dtype string or bytes, not ${dtype}`, { path });
  }
  if (!(typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) || value < 0) {
    throw new ContractInvalid(`expected a length of at least 0, got ${shown(value)}`, { path });
  }
  return Number(value);
}

function enumOf(value: Json, dtype: Dtype, path: string): readonly (GivenNumber | string)[] {
  if (dtype === "bool" || dtype === "bytes") {
    throw new ContractInvalid(`enum needs a string or numeric dtype, not ${dtype}`, { path });
  }
  if (!Array.isArray(value) || !value.length) {
    throw new ContractInvalid(`expected a non-empty array, got ${typeOf(value)}`, { path });
  }
  const out = value.map((item, index) => valueOf(item, dtype, `${path}[${index}]`) as GivenNumber | string);
  const distinct = new Set(out.map((item) => (item instanceof Literal ? item.value : typeof item === "bigint" && kindOf(dtype) === "float" ? Number(item) : item)));
  if (distinct.size !== out.length) throw new ContractInvalid("the same value twice", { path });
  return out;
}

/** The member that stands for what a later version adds: of the enum, or of the labels where there is none. */
function unknownOf(value: Json, { dtype, enum: members, labels }: FieldParts, path: string, output: boolean): string {
  if (!output) throw new ContractInvalid("an input has no unknown member: what it may be is listed", { path });
  const numeric = kindOf(dtype) === "int" || kindOf(dtype) === "float";
  const choice: readonly (GivenNumber | string)[] = members ?? labels ?? [];
  if (!choice.length) throw new ContractInvalid("unknown needs an enum or labels, one of which it names", { path });
  if (members && dtype !== "string") {
    throw new ContractInvalid("a number of an enum has no unknown member: any other number is as good", { path });
  }
  if (!members && !numeric) {
    throw new ContractInvalid(`numbers are added to the unknown label, and this is ${dtype}`, { path });
  }
  if (typeof value !== "string" || !choice.includes(value)) {
    const help = `one of ${choice.slice(0, 8).join(", ")}`;
    throw new ContractInvalid(`expected a member of the ${members ? "enum" : "labels"}`, { path, help });
  }
  return value;
}

/** The default must itself be a legal value. */
function defaultOf(value: Json, bare: Field, path: string): Json {
  if (value === null) {
    if (!bare.nullable) throw new ContractInvalid("a default of null needs nullable", { path });
    return null;
  }
  const findings = new Findings([bare], 1);
  readRow(findings, 0, 0, value, undefined);
  if (findings.any) throw new ContractInvalid(`not a legal value: ${findings.ordered()[0]!.message}`, { path });
  return value;
}
