// Builds what browsers load: `node build.mjs [DIRECTORY]`, without one into the package that serves it, `fivefold`.
//
// The same sources give the same bytes: esbuild is pinned by the lock, nothing depends on the day or the machine, and
// tests/check_generated.py builds them again and compares. There are no source maps: the sources are here.

import { build } from "esbuild";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(process.argv[2] ?? resolve(here, "../fivefold"));

/** The server's own page, built with answers from this device: its modules keep their places, `api.js` is another one. */
const page = resolve(here, "../fivefold/serving/page");
const serverPage = {
  name: "server-page",
  setup(building) {
    building.onResolve({ filter: /^fivefold-page\// }, ({ path }) => ({ path: resolve(page, path.slice("fivefold-page/".length)) }));
    building.onResolve({ filter: /^\.\/api\.js$/ }, ({ resolveDir }) =>
      resolveDir === page ? { path: resolve(here, "src/page/api.ts") } : undefined,
    );
  },
};

/** Each output by its place: what it is made of, and what it differs in. */
const OUTPUTS = {
  "edge/export/site/contract.js": { source: "src/contract/index.ts" },
  "edge/export/site/page.js": { source: "src/page/page.ts", plugins: [serverPage] },
  "edge/export/site/scoring.js": { source: "src/runtime/index.ts" },
  // A service worker is a classic script in every browser; the export writes the list of its files in front.
  "edge/export/site/service-worker.js": { source: "src/service-worker.ts", format: "iife" },
  "edge/export/site/worker.js": { source: "src/worker.ts" },
  "serving/page/built/model-worker.js": { source: "src/model-worker.ts" },
};

for (const [name, { source, ...options }] of Object.entries(OUTPUTS)) {
  await build({
    absWorkingDir: here,
    entryPoints: [source],
    outfile: resolve(root, name),
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    minify: true,
    sourcemap: false,
    logLevel: "warning",
    ...options,
  });
}
