// Elements and numbers for people. Data becomes text or an attribute's value, never markup: nothing on this page parses
// a string as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element with attributes (`onclick` and its like are listeners, false and null leave an attribute out) and children. */
export const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** JSON in, JSON out, with integers beyond 2^53 kept digit by digit where the browser can (`JSON.rawJSON`). */
export function parse(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  const unsafe = (value) => typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return JSON.parse(text, (_, value, context) => (unsafe(value) ? JSON.rawJSON(context.source) : value));
}

/** The number in a parsed value, also of an integer kept digit by digit; NaN for anything else. */
export function number(value) {
  if (typeof value === "number") return value;
  return value !== null && typeof value === "object" && JSON.isRawJSON?.(value) ? Number(value.rawJSON) : NaN;
}

/** A number as short as it can be said without losing what a reader of a table would miss: six digits, or all of an integer. */
export function brief(value) {
  const x = number(value);
  if (Number.isNaN(x)) return typeof value === "string" ? value : JSON.stringify(value);
  if (Number.isInteger(x) && Math.abs(x) < 1e15) return String(x);
  return typeof value === "number" ? String(Number(x.toPrecision(6))) : JSON.stringify(value);
}

/** A share of one as percent: never 0 % or 100 % for what is neither. */
export function percent(x) {
  if (x > 0 && x < 0.001) return "<\u00a00.1\u00a0%";
  if (x < 1 && x > 0.999) return ">\u00a099.9\u00a0%";
  return `${(x * 100).toFixed(1)}\u00a0%`;
}

/** Milliseconds with two or three digits that mean something. */
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)}\u00a0ms`;
