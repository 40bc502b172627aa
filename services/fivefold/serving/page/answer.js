// An answer drawn by the contract's outputs: labels as words, probabilities and other labelled numbers as bars.

import { brief, el, milliseconds, number, percent } from "./dom.js";

const MOST_BARS = 12;
const MOST_TEXT = 600;

const share = (field) => field.minimum === 0 && field.maximum === 1;
const category = (field) => !field.shape?.length && (field.dtype === "string" || field.dtype === "bool" || field.enum);

function said(field, value) {
  if (value === null) return "null";
  if (share(field)) return percent(number(value));
  return field.unit ? `${brief(value)} ${field.unit}` : brief(value);
}

/** The word an answer's label output says, to be marked among the bars. */
function winner(contract, prediction) {
  const field = contract.outputs.find(category);
  return field ? prediction[field.name] : undefined;
}

function bars(field, values, marked) {
  const labels = field.labels?.length ? field.labels : values.map((_, index) => `[${index}]`);
  let list = values.map((value, index) => ({ value, x: number(value), label: labels[index] }));
  const hidden = list.length - MOST_BARS;
  if (hidden > 0) list = list.sort((a, b) => b.x - a.x).slice(0, MOST_BARS);
  const finite = list.map(({ x }) => x).filter(Number.isFinite);
  const low = share(field) ? 0 : Math.min(0, ...finite);
  const high = share(field) ? 1 : Math.max(0, ...finite);
  const width = high - low || 1;
  const rows = list.map(({ value, x, label }) => {
    const fill = el("i");
    fill.style.setProperty("--from", (Math.min(x, 0) - low) / width || 0);
    fill.style.setProperty("--share", Math.abs(x) / width || 0);
    return el(
      "li",
      { class: label === marked ? "marked" : null },
      el("span", { class: "what" }, label),
      el("span", { class: "much", title: JSON.stringify(value) }, said(field, value)),
      el("span", { class: "track", "aria-hidden": "true" }, fill),
    );
  });
  return [
    el("ul", { class: "bars" }, rows),
    hidden > 0 && el("p", { class: "aside" }, `the ${MOST_BARS} largest of ${values.length}`),
  ];
}

function drawn(field, value, marked) {
  if (value === null) return el("p", { class: "figure null" }, "null");
  if (field.shape?.length === 1 && Array.isArray(value) && !value.some(Array.isArray) && Number.isFinite(number(value[0]))) {
    if (field.labels?.length || value.length <= MOST_BARS) return bars(field, value, marked);
  }
  if (field.shape?.length) {
    const text = JSON.stringify(value);
    return el("p", { class: "value" }, text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)} …` : text);
  }
  const figure = el("p", { class: "figure", title: JSON.stringify(value) }, said(field, value));
  const bounded = field.minimum !== undefined && field.maximum !== undefined && !field.enum;
  if (!bounded) return figure;
  const fill = el("i");
  fill.style.setProperty("--share", (number(value) - field.minimum) / (field.maximum - field.minimum || 1));
  return [figure, el("span", { class: "track", "aria-hidden": "true" }, fill)];
}

/** One line for small places: `malignant · 98.2 %`. */
export function headline(contract, prediction) {
  const lead = contract.outputs.find(category) ?? contract.outputs.find((field) => !field.shape?.length);
  if (!lead) return "answered";
  const value = prediction[lead.name];
  const chances = contract.outputs.find((field) => share(field) && field.labels?.includes(value));
  const chance = chances && prediction[chances.name][chances.labels.indexOf(value)];
  return chance === undefined ? said(lead, value) : `${said(lead, value)} · ${percent(number(chance))}`;
}

/** Whether two predictions agree as a bundle's tolerance means it: the difference is at most `tolerance * max(1, |b|)`. */
export function same(a, b, tolerance) {
  const x = number(a);
  const y = number(b);
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x === y || Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(y));
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, at) => same(item, b[at], tolerance));
  if (a !== null && b !== null && typeof a === "object" && typeof b === "object") {
    const keys = Object.keys(b);
    return Object.keys(a).length === keys.length && keys.every((key) => same(a[key], b[key], tolerance));
  }
  return a === b;
}

/** The outputs of one prediction, drawn; `verdict` is a `[class, sentence]` about a golden row, or null. */
export function draw(contract, prediction, metadata, ms, verdict) {
  const marked = winner(contract, prediction);
  const outputs = contract.outputs.map((field) =>
    el(
      "div",
      { class: category(field) ? "output lead" : "output" },
      el("h3", { title: field.description }, field.name),
      drawn(field, prediction[field.name], marked),
    ),
  );
  return [
    ...outputs,
    verdict && el("p", { class: `verdict ${verdict[0]}` }, verdict[1]),
    el("p", { class: "aside" }, `answered in ${milliseconds(ms)}`, metadata?.request_id && el("span", {}, " · request ", el("code", {}, metadata.request_id))),
  ];
}

/** A refused request in words, with links to the fields that have a violation. */
export function refusal(error, bad, rest) {
  const many = bad.length === 1 ? "1 field needs another value" : `${bad.length} fields need another value`;
  const request = error.body?.request_id;
  return [
    el("p", { class: "refused" }, el("strong", {}, bad.length ? many : error.message), !bad.length && error.code && el("code", {}, error.code)),
    bad.length > 0 &&
      el(
        "ul",
        { class: "faults" },
        bad.map((control) =>
          el(
            "li",
            {},
            el("button", { type: "button", class: "link", onclick: () => control.focus() }, control.field.name),
            ` ${control.wrong.firstChild.textContent} `,
            el("code", {}, control.wrong.dataset.code),
          ),
        ),
      ),
    bad.length > 0 && rest.map((violation) => el("p", {}, `${violation.path}: ${violation.error}`)),
    !bad.length && error.body?.help && el("p", { class: "aside" }, `help: ${error.body.help}`),
    (error.status > 0 || request) &&
      el("p", { class: "aside" }, error.status > 0 && `status ${error.status}`, request && el("span", {}, " · request ", el("code", {}, request))),
  ];
}
