// Asks the browser's scorer rows: one V1 body each, alone, and says of each the answer or the refusal.
//
// The same for Node and for a page: who loads the files and where the answers go is left to `node.mjs` and `page.html`.

const refused = (error) => ({
  refused: error.details?.length
    ? error.details.map(({ code, path }) => ({ code, path }))
    : [{ code: error.code, path: error.path }],
});

/** The answers to rows of JSON text; `files` are the bundle's, by their names. */
export async function ask({ scoring, runtime, wasm, digest, files, version, rows }) {
  scoring.prepare(runtime, wasm);
  const bundle = await scoring.verified(digest, files);
  const scorer = await scoring.Scorer.open(runtime, bundle);
  const view = bundle.views.find(version);
  const answers = [];
  for (const row of rows) {
    try {
      answers.push({ answer: await scorer.predict(`{"instances":[${row}]}`, view, {}) });
    } catch (error) {
      if (error.code === undefined) throw error;
      answers.push(refused(error));
    }
  }
  await scorer.close();
  return answers;
}
