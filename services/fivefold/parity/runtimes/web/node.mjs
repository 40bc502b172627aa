// `node node.mjs`, beside what it reads: the scorer, the runtime, the bundle's files, request.json. Answers on stdout.

import { readFileSync } from "node:fs";
import { ask } from "./ask.js";

const place = (name) => new URL(name, import.meta.url);
const request = JSON.parse(readFileSync(place("request.json"), "utf8"));
const files = new Map(request.names.map((name) => [name, new Uint8Array(readFileSync(place(`bundle/${name}`)))]));
try {
  const scoring = await import(place("scoring.js").href);
  const runtime = await import(place(request.script).href);
  const wasm = readFileSync(place(request.wasm));
  process.stdout.write(JSON.stringify(await ask({ ...request, files, scoring, runtime, wasm })));
} catch (error) {
  process.stdout.write(JSON.stringify({ failed: error.path ? `${error.path}: ${error.message}` : String(error.message) }));
}
