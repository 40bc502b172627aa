// What came in, as the server counts it: a table of the fields, with the distribution of each, and what was refused.

import * as api from "./api.js";
import { brief, el, svg } from "./dom.js";

const [WIDTH, HEIGHT, GAP] = [120, 22, 2];
const SHOWN = 3; // values of an enumeration

const amount = (number) => number.toLocaleString("en-GB");

/** A histogram as bars; each says between which numbers it lies. */
function histogram(buckets) {
  const most = Math.max(...buckets.map(({ count }) => count), 1);
  const step = WIDTH / buckets.length;
  const bars = buckets.map(({ below, count }, at) => {
    const from = at ? brief(buckets[at - 1].below) : null;
    const where = below === null ? `from ${from} on` : from === null ? `below ${brief(below)}` : `${from} to ${brief(below)}`;
    const height = count ? Math.max(1.5, (count / most) * HEIGHT) : 0;
    const bar = { class: "good", x: at * step, y: HEIGHT - height, width: step - GAP, height };
    return svg("rect", bar, svg("title", {}, `${where}: ${amount(count)}`));
  });
  const said = `most of them ${bars[buckets.findIndex(({ count }) => count === most)].textContent}`;
  return svg("svg", { class: "histogram", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said }, bars);
}

function spread({ values, nulls, buckets, categories, not_finite: odd }) {
  if (values === nulls) return "";
  if (buckets) return [histogram(buckets), odd > 0 && ` ${amount(odd)} not finite`];
  if (!categories) return "";
  const told = categories.slice(0, SHOWN).map(({ value, count }) => `${brief(value)} ${amount(count)}`);
  return told.join(", ") + (categories.length > SHOWN ? ", …" : "");
}

function table(title, heads, rows) {
  const drawn = rows.map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, name)), cells.map((cell, at) => el("td", { "data-label": heads[at + 1], class: cell === "" ? "empty" : null }, cell))));
  return el(
    "div",
    { class: "scroll", role: "region", "aria-label": title, tabindex: 0 },
    el("table", {}, el("caption", {}, title), el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, drawn)),
  );
}

const edge = (value) => (value === null || value === undefined ? "" : brief(value));

function drawn({ replica, since, rows, looked_at: looked, fields, refusals }) {
  const part = looked < rows ? `, ${amount(looked)} of them looked at` : "";
  const words = `${amount(rows)} answered ${rows === 1 ? "row" : "rows"}${part}, since ${new Date(since * 1000).toLocaleString("en-GB")}, in ${replica} alone. A field that was left out counts as its default.`;
  const list = fields.map((each) => [each.name, amount(each.values), each.nulls ? amount(each.nulls) : "", edge(each.minimum), edge(each.maximum), spread(each)]);
  const refused = refusals.map(({ field, code, requests }) => [field || "the request", el("code", {}, code), amount(requests)]);
  return [
    el("p", { class: "aside" }, words),
    refused.length && table("Refused requests", ["Field", "Code", "Requests"], refused),
    table("Fields", ["Field", "Values", "Null", "Least", "Greatest", "Spread"], list),
  ].filter(Boolean);
}

/** What came in for the model that is `opened`, or why it is not known, as elements. */
export async function inputs({ model, version }) {
  try {
    return drawn(await api.inputs(model, version));
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    return [el("p", { class: "refused" }, error.message, " ", error.code && el("code", {}, error.code))];
  }
}
