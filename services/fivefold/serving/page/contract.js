// The contract in words: types, limits, groups, and the table of all fields. It judges no value; the server does.

import { brief, el } from "./dom.js";

const INTEGERS = /^u?int/;
const FLOATS = /^float/;

/** The family of a field's dtype: bool, int, float, string or bytes. */
export function kind(field) {
  if (INTEGERS.test(field.dtype)) return "int";
  return FLOATS.test(field.dtype) ? "float" : field.dtype;
}

/** Whether a request may leave the field out. */
export const optional = (field) => "default" in field;

function nested(shape, value) {
  return shape.length ? Array.from({ length: shape[0] ?? 1 }, () => nested(shape.slice(1), value)) : value;
}

function one(field) {
  if (field.enum?.length) return field.enum[0];
  const length = Math.max(1, field.minLength ?? 0);
  if (field.dtype === "bool") return false;
  if (field.dtype === "string") return "a".repeat(length);
  if (field.dtype === "bytes") return btoa("a".repeat(length));
  const low = field.minimum ?? 0;
  return field.minimum === undefined && field.maximum !== undefined && field.maximum < 0 ? field.maximum : low;
}

/** A record that the contract takes, where no pattern asks for more: what no request may leave out. */
export const example = (contract) =>
  Object.fromEntries(contract.inputs.filter((field) => !optional(field)).map((field) => [field.name, nested(field.shape ?? [], one(field))]));

/** `float32[28, 28]`. */
export const type = (field) => (field.shape?.length ? `${field.dtype}[${field.shape.join(", ")}]` : field.dtype);

function range(low, high, noun = "") {
  if (low === undefined && high === undefined) return "";
  const tail = noun && ` ${noun}`;
  if (high === undefined) return `at least ${brief(low)}${tail}`;
  if (low === undefined) return `at most ${brief(high)}${tail}`;
  return `${brief(low)} – ${brief(high)}${tail}`;
}

/** What a value may be, as short phrases; a range names `unit` where the unit stands nowhere else. */
export function limits(field, unit = "") {
  const lengths = range(field.minLength, field.maxLength, field.dtype === "bytes" ? "bytes" : "characters");
  return [
    range(field.minimum, field.maximum, unit) || unit,
    field.enum && field.enum.map((value) => brief(value)).join(" | "),
    lengths,
    field.pattern && `matches ${field.pattern}`,
    field.labels?.length && `of ${field.labels.join(", ")}`,
    field.nullable && "may be null",
    field.allow_nan && "may be NaN",
  ].filter(Boolean);
}

/** Fields under headings: thirty names that share a first or last word read better as three groups of ten. */
export function groups(fields) {
  if (fields.length < 9) return [{ title: "", fields }];
  const words = fields.map(({ name }) => name.split(/[_.\-]+/).filter(Boolean));
  const count = new Map();
  for (const list of words) {
    for (const word of new Set([list[0], list.at(-1)])) count.set(word, (count.get(word) ?? 0) + 1);
  }
  const found = new Map();
  fields.forEach((field, index) => {
    const [best] = [words[index][0], words[index].at(-1)].sort((a, b) => count.get(b) - count.get(a));
    const title = words[index].length > 1 && count.get(best) >= 3 ? best : "";
    found.set(title, [...(found.get(title) ?? []), field]);
  });
  const out = [...found].map(([title, list]) => ({ title, fields: list }));
  if (out.length === 1) return [{ title: "", fields }];
  return out.sort((a, b) => (a.title === "") - (b.title === "")).map((group) => ({ ...group, title: group.title || "other" }));
}

function needs(field) {
  if (!optional(field)) return el("span", { class: "required" }, "required");
  return el("span", {}, "default ", el("code", {}, JSON.stringify(field.default)));
}

function row(field, output) {
  const cell = (label, ...content) => el("td", { "data-label": label, class: content.length ? null : "empty" }, ...content);
  const text = (label, value) => (value ? cell(label, value) : cell(label));
  const name = el("th", { scope: "row" }, el("code", {}, field.name));
  if (field.aliases?.length) name.append(el("small", {}, ` also ${field.aliases.join(", ")}`));
  return el(
    "tr",
    {},
    name,
    cell("Type", el("code", {}, type(field))),
    text("Allowed", limits(field).join(", ")),
    text("Unit", field.unit),
    !output && cell("Given", needs(field)),
    text("Meaning", field.description),
  );
}

/** Facts about the bundle: what packing measured and recorded. */
export function origin(facts) {
  const words = (value) => (value !== null && typeof value === "object" ? Object.entries(value).map((pair) => pair.join(" ")).join(", ") : brief(value));
  const list = Object.entries(facts).map(([name, value]) => el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, words(value))));
  return el("section", { class: "origin" }, el("h3", {}, "Made from"), el("dl", { class: "facts" }, list));
}

/** One table of fields; `output` leaves out the column about being required. */
export function table(title, fields, output) {
  const heads = ["Name", "Type", "Allowed", "Unit", !output && "Given", "Meaning"].filter(Boolean);
  return el(
    "table",
    {},
    el("caption", {}, title, el("span", { class: "count" }, String(fields.length))),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col", class: head === "Given" ? "given" : null }, head)))),
    el("tbody", {}, fields.map((field) => row(field, output))),
  );
}
