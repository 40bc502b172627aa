// The request in the form, as code to copy: for curl, for the Python client, for plain Python, for grpcurl.

import { el } from "./dom.js";
import { kind } from "./contract.js";
import { HEADER } from "./versions.js";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/g;
const CONTENTS = { bool: "bool_contents", string: "bytes_contents", bytes: "bytes_contents", float32: "fp32_contents", float64: "fp64_contents" };
const DATATYPES = { bool: "BOOL", string: "BYTES", bytes: "BYTES", float32: "FP32", float64: "FP64" };

/** The body that the page sends, to the letter. */
export const body = (literals) =>
  `{"instances": [{${literals.map(([name, text]) => `\n  ${JSON.stringify(name)}: ${text}`).join(",")}\n}]}`;

/** A word that a POSIX shell reads back unchanged. */
export const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A Python literal of a JSON text. A JSON string may escape what Python does not, so strings are written anew. */
export function python(text) {
  const words = { true: "True", false: "False", null: "None" };
  return text.replace(TOKEN, (token) => (token[0] === '"' ? JSON.stringify(JSON.parse(token)) : (words[token] ?? token)));
}

const record = (literals, indent) =>
  `{${literals.map(([name, text]) => `\n${indent}    ${JSON.stringify(name)}: ${python(text)},`).join("")}\n${indent}}`;

function base64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function tensor(field, text) {
  // float16 has no typed contents in the protocol; values decide, not wire types, so a wider type says the same.
  const dtype = field.dtype === "float16" ? "float32" : field.dtype;
  const wide = dtype.endsWith("64");
  const contents = CONTENTS[dtype] ?? `${dtype.startsWith("u") ? "uint" : "int"}${wide ? "64" : ""}_contents`;
  const size = (field.shape ?? []).reduce((product, each) => product * each, 1);
  const tokens = text === "null" ? Array(size).fill("null") : (text.match(TOKEN) ?? []);
  const values = tokens.map((token) => {
    if (token === "null") return kind(field) === "float" ? '"NaN"' : tensor(field, JSON.stringify(field.null_value)).values[0];
    return field.dtype === "string" ? JSON.stringify(base64(JSON.parse(token))) : token;
  });
  const head = { name: field.name, datatype: DATATYPES[dtype] ?? dtype.toUpperCase(), shape: [1, ...(field.shape ?? [])] };
  return { values, text: `${JSON.stringify(head).slice(0, -1)},"contents":{"${contents}":[${values.join(",")}]}}` };
}

function grpc({ model, version, contract, literals }) {
  const of = new Map(contract.inputs.map((field) => [field.name, field]));
  const inputs = literals.map(([name, text]) => `\n  ${tensor(of.get(name), text).text}`);
  return `{"model_name":${JSON.stringify(model)},"model_version":${JSON.stringify(version)},"inputs":[${inputs.join(",")}\n]}`;
}

/** The header with a key, for a shell: the key itself stays out of the code, and so out of its reader's history. */
const bearer = ({ guarded }) => (guarded ? ` \\\n  -H "authorization: Bearer $FIVEFOLD_KEY"` : "");

/** The header, or the metadata, that names the contract version, for a shell. */
const versioned = ({ asked }) => (asked ? ` \\\n  -H ${shell(`${HEADER}: ${asked}`)}` : "");

/**
 * Title and code of each way to send the request; `request` is `{model, version, asked, contract, literals, origin, url,
 * grpc, guarded}`, `asked` the contract version that it names, if any. The Python client finds the key in FIVEFOLD_KEY by
 * itself.
 */
export const LANGUAGES = [
  {
    id: "curl",
    title: "curl",
    code: (request) =>
      `curl -sS ${shell(request.url)}${bearer(request)}${versioned(request)} \\\n  -H 'content-type: application/json' \\\n  -d ${shell(body(request.literals))}\n`,
  },
  {
    id: "python",
    title: "Python",
    code: ({ origin, model, version, asked, literals }) =>
      `import fivefold\n\nrow = ${record(literals, "")}\nwith fivefold.Client(${JSON.stringify(origin)}${asked ? `, contract=${JSON.stringify(asked)}` : ""}) as client:\n    answer = client.predict([row], model=${JSON.stringify(model)}, version=${JSON.stringify(version)})\nprint(answer.predictions[0])\n`,
  },
  {
    id: "urllib",
    title: "urllib",
    code: ({ url, literals, guarded, asked }) =>
      `import json\n${guarded ? "import os\n" : ""}from urllib.request import Request, urlopen\n\nrow = ${record(literals, "")}\nrequest = Request(\n    ${JSON.stringify(url)},\n    data=json.dumps({"instances": [row]}).encode(),\n    headers={"content-type": "application/json"${asked ? `, ${JSON.stringify(HEADER)}: ${JSON.stringify(asked)}` : ""}${guarded ? `, "authorization": f"Bearer {os.environ['FIVEFOLD_KEY']}"` : ""}},\n)\nwith urlopen(request) as answer:\n    print(json.load(answer)["predictions"][0])\n`,
  },
  {
    id: "grpcurl",
    title: "grpcurl",
    code: (request) =>
      `grpcurl ${request.url.startsWith("https:") ? "" : "-plaintext "}${request.guarded ? `-H "authorization: Bearer $FIVEFOLD_KEY" ` : ""}${request.asked ? `-H ${shell(`${HEADER}: ${request.asked}`)} ` : ""}\\\n  -d ${shell(grpc(request))} \\\n  ${request.grpc} inference.GRPCInferenceService/ModelInfer\n`,
  },
];

const MARKS = /("(?:[^"\\\n]|\\.)*")|\b(import|from|with|as|print|curl|grpcurl|True|False|None|true|false|null)\b|(-?\b\d[\d.]*(?:[eE][+-]?\d+)?\b)/g;

/** The code as text and coloured words. */
export function coloured(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(MARKS)) {
    const [token, string, word] = match;
    const key = string && /^\s*:/.test(text.slice(match.index + token.length));
    out.push(text.slice(at, match.index), el("span", { class: key ? "k" : string ? "s" : word ? "w" : "n" }, token));
    at = match.index + token.length;
  }
  return [...out, text.slice(at)];
}
