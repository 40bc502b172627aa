// A form made from a contract. It turns what was typed into JSON literals and shows the server's violations at the field
// they name. It judges no value: a word in a number's field is sent as a string, and the server says what is wrong.

import { brief, el, number } from "./dom.js";
import { groups, kind, limits, optional, type } from "./contract.js";

const NUMBER = /^\+?(-?)0*((?:\d+|(?=\.))(?:\.\d*)?(?:[eE][+-]?\d+)?)$/;
const NUMBER_MAY_START = /^[+-]?\.?\d/;
const SHORT_UNIT = 6; // characters that fit beside a value

/** The JSON number that a person means by `+5`, `.5`, `5.` or `007`; null where it is no number at all. */
export function numeral(text) {
  const match = NUMBER_MAY_START.test(text) && NUMBER.exec(text);
  if (!match) return null;
  const [, sign, digits] = match;
  return sign + digits.replace(/^(?=[.eE])/, "0").replace(/\.(?!\d)/, "");
}

/** JSON text without the white space between its tokens. */
const compact = (text) => text.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => (token[0] === '"' ? token : ""));

function pretty(value) {
  const rows = Array.isArray(value) && Array.isArray(value[0]);
  return rows ? `[${value.map((item) => JSON.stringify(item)).join(",\n ")}]` : JSON.stringify(value);
}

/** One field: its input, its way to be null or left out, its hint and its error. */
class Control {
  constructor(field, index, changed) {
    this.field = field;
    this.shaped = Boolean(field.shape?.length);
    const id = `field-${index}`;
    this.input = this.#input(field);
    this.rules = el("p", { class: "rules", id: `${id}-rules` });
    this.hint = el("p", { class: "hint", id: `${id}-hint`, title: field.description }, field.description);
    this.wrong = el("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
    this.meter = el("span", { class: "meter", "aria-hidden": "true" }, el("i"));
    this.mode = this.#mode(field, id);
    for (const [name, value] of Object.entries({
      id,
      "aria-describedby": `${id}-rules ${id}-hint ${id}-wrong`,
      "aria-required": optional(field) ? null : "true",
    })) {
      if (value !== null) this.input.setAttribute(name, value);
    }
    const unit = field.unit && field.unit !== "1" ? field.unit : "";
    const short = unit.length <= SHORT_UNIT;
    const words = [this.shaped ? type(field) : "", ...limits(field, short ? "" : unit)].filter(Boolean);
    this.rules.append(words.join(", "));
    this.rules.title = this.rules.textContent;
    this.rules.hidden = !words.length;
    this.hint.hidden = !field.description;
    const bounded = !this.shaped && !field.enum && field.minimum !== undefined && field.maximum !== undefined;
    this.node = el(
      "div",
      { class: `field${this.shaped ? " shaped" : ""}` },
      el("div", { class: "top" }, el("label", { for: id }, field.name), this.mode),
      el("div", { class: `box ${this.input.type}` }, this.input, unit && short && el("span", { class: "unit" }, unit), this.#file(field)),
      bounded && this.meter,
      this.rules,
      this.hint,
      this.wrong,
    );
    this.node.addEventListener("input", () => {
      this.clear();
      this.refresh();
      changed();
    });
    this.refresh();
  }

  #input(field) {
    const plain = { spellcheck: "false", autocapitalize: "off", autocomplete: "off" };
    if (this.shaped) return el("textarea", { rows: field.shape.length > 1 ? 5 : 3, class: "code", ...plain });
    if (field.enum) {
      const choices = field.enum.map((value) => el("option", { value: JSON.stringify(value) }, brief(value)));
      return el("select", {}, el("option", { value: "" }, "choose …"), choices);
    }
    if (field.dtype === "bool") return el("input", { type: "checkbox" });
    if (kind(field) === "int" || kind(field) === "float") {
      return el("input", { type: "text", inputmode: field.minimum >= 0 ? (kind(field) === "int" ? "numeric" : "decimal") : null, ...plain });
    }
    const placeholder = field.dtype === "bytes" ? "base64" : null;
    return el("textarea", { rows: 1, class: field.dtype === "bytes" ? "code" : null, placeholder, ...plain });
  }

  #file(field) {
    if (field.dtype !== "bytes" || this.shaped) return null;
    const chooser = el("input", { type: "file", "aria-label": `A file for ${field.name}` });
    chooser.addEventListener("change", () => {
      const reader = new FileReader();
      reader.addEventListener("load", () => {
        this.set(reader.result.slice(reader.result.indexOf(",") + 1));
        this.input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      if (chooser.files.length) reader.readAsDataURL(chooser.files[0]);
    });
    return el("span", { class: "file" }, "File", chooser);
  }

  #mode(field, id) {
    const choices = [["value", "value"]];
    if (field.nullable) choices.push(["null", "null"]);
    if (optional(field)) choices.push(["omit", `default ${JSON.stringify(field.default)}`]);
    if (choices.length === 1) return null;
    const options = choices.map(([value, text]) => el("option", { value }, text));
    return el("select", { class: "mode", id: `${id}-mode`, "aria-label": `How ${field.name} is given` }, options);
  }

  /** Put in a parsed value; undefined leaves the field out, or empty where it must be given. */
  set(value) {
    let mode = "value";
    if (value === undefined && optional(this.field)) mode = "omit";
    if (value === null && this.field.nullable) mode = "null";
    if (this.mode) this.mode.value = mode;
    this.#write(mode === "omit" ? this.field.default : value);
    this.refresh();
  }

  #write(value) {
    const { input } = this;
    if (input.type === "checkbox") input.checked = value === true;
    else if (value === undefined || value === null) input.value = "";
    else if (this.shaped) input.value = pretty(value);
    else if (this.field.enum) input.value = JSON.stringify(value);
    else input.value = typeof value === "string" ? value : JSON.stringify(value);
  }

  /** What the field adds to the request: a JSON literal, null for nothing, or a violation found before sending. */
  literal() {
    const mode = this.mode?.value ?? "value";
    if (mode !== "value") return mode === "null" ? "null" : null;
    const { value, type: tag } = this.input;
    if (tag === "checkbox") return String(this.input.checked);
    if (this.field.enum && !this.shaped) return value || null;
    if (!this.shaped && (this.field.dtype === "string" || this.field.dtype === "bytes")) return JSON.stringify(value);
    const text = value.trim();
    if (!text) return null;
    if (!this.shaped) return numeral(text) ?? JSON.stringify(text);
    try {
      JSON.parse(text);
    } catch (error) {
      return { code: "malformed", path: `inputs.${this.field.name}`, error: `expected JSON: ${error.message}` };
    }
    return compact(text);
  }

  /** Bring what depends on the value up to date: whether it can be typed, and where it lies between its bounds. */
  refresh() {
    this.input.disabled = (this.mode?.value ?? "value") !== "value";
    const { minimum, maximum } = this.field;
    const share = (Number(this.input.value || NaN) - number(minimum)) / (number(maximum) - number(minimum));
    const shown = !this.input.disabled && share >= 0 && share <= 1;
    this.meter.firstChild.style.setProperty("--share", shown ? share : 0);
  }

  /** Show the violations of this field. */
  show(violations) {
    const [first] = violations;
    const element = first.path.slice(`inputs.${this.field.name}`.length).replace(/^\[\d+\]/, "");
    const said = element ? `${element}: ${first.error}` : first.error;
    const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
    this.wrong.replaceChildren(said + more);
    if (first.help) this.wrong.append(el("span", { class: "help" }, `help: ${first.help}`));
    this.wrong.dataset.code = first.code;
    this.wrong.hidden = false;
    this.input.setAttribute("aria-invalid", "true");
    this.node.classList.add("bad");
  }

  clear() {
    this.wrong.hidden = true;
    this.wrong.replaceChildren();
    this.input.removeAttribute("aria-invalid");
    this.node.classList.remove("bad");
  }

  focus() {
    (this.input.disabled ? this.mode : this.input).focus();
  }
}

/** The fields of a contract, in groups, with a filter. */
export class Form {
  constructor(root, contract, changed) {
    this.controls = contract.inputs.map((field, index) => new Control(field, index, changed));
    const of = new Map(this.controls.map((control) => [control.field, control]));
    this.groups = groups(contract.inputs).map(({ title, fields }) => {
      const controls = fields.map((field) => of.get(field));
      const grid = el("div", { class: "grid" }, controls.map((control) => control.node));
      const legend = title && el("legend", {}, title, el("span", { class: "count" }, String(fields.length)));
      return { controls, node: title ? el("fieldset", {}, legend, grid) : grid };
    });
    root.replaceChildren(...this.groups.map((group) => group.node));
  }

  /** Fill in a record of parsed values; a field is found by its name or an alias. */
  fill(record) {
    for (const control of this.controls) {
      const { name, aliases = [] } = control.field;
      control.clear();
      control.set(record[[name, ...aliases].find((key) => Object.hasOwn(record, key))]);
    }
  }

  /** `{literals: [[name, JSON text]], problems: [violation]}`, in contract order. */
  collect() {
    const literals = [];
    const problems = [];
    for (const control of this.controls) {
      const literal = control.literal();
      if (typeof literal === "string") literals.push([control.field.name, literal]);
      else if (literal) problems.push(literal);
    }
    return { literals, problems };
  }

  /** Show violations where they belong; gives the controls that have one, in order, and the violations that fit nowhere. */
  show(violations) {
    const rest = [];
    const hits = new Map();
    for (const violation of violations) {
      const control = this.#at(violation.path ?? "");
      if (control) hits.set(control, [...(hits.get(control) ?? []), violation]);
      else rest.push(violation);
    }
    for (const control of this.controls) control.clear();
    for (const [control, list] of hits) control.show(list);
    return { bad: this.controls.filter((control) => hits.has(control)), rest };
  }

  // Names may hold dots, so the path is matched against the names rather than taken apart.
  #at(path) {
    return this.controls.find(({ field: { name, aliases = [] } }) =>
      [name, ...aliases].some((key) => path.startsWith(`inputs.${key}`) && /^(\[\d+\])*$/.test(path.slice(7 + key.length))),
    );
  }

  /** Hide the fields that do not hold the words; gives how many are left. */
  filter(text) {
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { field, node } of this.controls) {
      const words = [field.name, field.description, field.unit, ...(field.aliases ?? [])].join(" ").toLowerCase();
      node.hidden = !wanted.every((word) => words.includes(word));
    }
    for (const group of this.groups) group.node.hidden = group.controls.every(({ node }) => node.hidden);
    return this.controls.filter(({ node }) => !node.hidden).length;
  }
}
