// Answers questions about contracts, one JSON object a line, with the very file that browsers load: `node FILE SITE`.
//
// Values leave as text that loses nothing: floats as the sixteen hexadecimal digits of their binary64, integers in
// decimal, bytes as base64. What is asked is written by browser.py.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const {
  Contract,
  FivefoldError,
  Views,
  encodeAnswer,
  encodeRows,
  encodeTensors,
  fromHalf,
  toHalf,
} = await import(pathToFileURL(process.argv[2]).href);

const contracts = new Map();

function contractOf(text) {
  let found = contracts.get(text);
  if (!found) contracts.set(text, (found = Contract.parse(Buffer.from(text, "base64"))));
  return found;
}

function bits(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
}

function number(text) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${text}`));
  return view.getFloat64(0);
}

/** Columns as flat lists of text, null for null. */
function shown(columns) {
  const out = {};
  for (const field of columns.fields) {
    const nulls = columns.nulls(field.name);
    out[field.name] = Array.from(columns.values(field.name), (value, at) => {
      if (nulls[at]) return null;
      if (field.kind === "float") return bits(value);
      if (field.kind === "bool") return Boolean(value);
      return field.kind === "bytes" ? Buffer.from(value).toString("base64") : String(value);
    });
  }
  return { rows: columns.rows, columns: out };
}

const ARRAYS = {
  bool: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Float32Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** A model's answer from the lists that it came in. */
function tensors(given) {
  return Object.fromEntries(
    Object.entries(given).map(([name, { dtype, shape, data }]) => {
      if (dtype === "string") return [name, { dtype, shape, data }];
      if (dtype === "bytes") return [name, { dtype, shape, data: data.map((text) => new Uint8Array(Buffer.from(text, "base64"))) }];
      const one = dtype.startsWith("float") ? number : dtype.endsWith("64") ? BigInt : Number;
      return [name, { dtype, shape, data: ARRAYS[dtype].from(data, one) }];
    }),
  );
}

const ASKED = {
  parse: ({ contract }) => {
    const { name, version, inputs, outputs } = contractOf(contract);
    return { name, version, inputs: inputs.map((field) => field.name), outputs: outputs.map((field) => field.name) };
  },
  records: ({ contract, body, limits }) => shown(contractOf(contract).read(Buffer.from(body, "base64"), limits)),
  tensors: ({ contract, body, limits }) => {
    const request = contractOf(contract).readTensors(Buffer.from(body, "base64"), limits);
    return { ...shown(request.columns), id: request.id ?? null, outputs: request.outputs.map((field) => field.name) };
  },
  outputs: ({ contract, answer, rows, byColumn, metadata, model, id, outputs }) => {
    const own = contractOf(contract);
    const columns = own.checkOutputs(tensors(answer), rows);
    const asked = outputs ? outputs.map((name) => own.outputs.find((field) => field.name === name)) : own.outputs;
    return {
      ...shown(columns),
      predictions: encodeRows(columns),
      v1: encodeAnswer(columns, byColumn ?? false, metadata ?? {}),
      v2: encodeTensors(columns, asked, model ?? { name: "m", version: "1" }, metadata ?? {}, id),
    };
  },
  adapter: ({ caller, own, newer, given, answer }) => {
    const [theirs, ours] = [contractOf(caller), contractOf(own)];
    const views = Views.of("m", ours, [{ contract: theirs, newer }]);
    const view = views.find(theirs.version);
    const out = { ignored: view.ignored };
    if (given !== undefined) {
      const columns = view.into(theirs.read(Buffer.from(given, "base64")));
      out.into = { ...shown(columns), records: encodeRows(columns) };
    }
    if (answer !== undefined) {
      const columns = view.back(ours.checkOutputs(tensors(answer.tensors), answer.rows));
      out.back = { ...shown(columns), records: encodeRows(columns) };
    }
    return out;
  },
  halves: ({ values }) => {
    const halves = toHalf(values.map(number));
    return { bits: Array.from(halves), back: Array.from(fromHalf(halves), bits) };
  },
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = { answer: ASKED[question.ask](question) };
  } catch (error) {
    // Anything else is a defect, and ends the process with its stack.
    if (!(error instanceof FivefoldError)) throw error;
    answer = { error: error.toJSON(), reasons: error.reasons ?? null };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
