// `node node.mjs`, beside what it reads: the scorer, the runtime, the bundle's files, request.json. Answers on stdout.

import { readFileSync } from "node:fs";
import { ask } from "./ask.js";

const place = (name) => new URL(name, import.meta.url);
const request = JSON.parse(readFileSync(place("request.json"), "utf8"));
const files = new Map(request.names.map((name) => [name, new Uint8Array(readFileSync(place(`bundle/${name}`)))]));
const answers = await ask({
  ...request,
  files,
  scoring: await import(place("scoring.js").href),
  runtime: await import(place(request.script).href),
  wasm: readFileSync(place(request.wasm)),
});
process.stdout.write(JSON.stringify(answers));
