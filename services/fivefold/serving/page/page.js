// The page for people: which model, its form, its answer, its code. Each part is a module of its own; this one wires them.

import * as api from "./api.js";
import { draw, headline, refusal, same } from "./answer.js";
import { origin, table } from "./contract.js";
import { byId, el } from "./dom.js";
import { Form } from "./form.js";
import { Latency } from "./latency.js";
import { OnDemand } from "./on-demand.js";
import { PageModel } from "./page-model.js";
import * as signIn from "./sign-in.js";
import { body, coloured, LANGUAGES } from "./snippets.js";
import { chooser, remarks } from "./versions.js";

const BURST = 20;
const READY_EVERY = 15_000;
const SLACK = 1e-6; // a golden answer may be written with fewer digits than the wire has

const latency = new Latency(byId("latency"));
const here = new PageModel();
const onDemand = new OnDemand((error) => notice(error), (error) => notice(error));
let models = [];
let grpc = `${location.hostname}:9000`;
let now = null; // what is open: {model, version, versions, contract, manifest, golden, form, row, edited}
let language = LANGUAGES[0].id;
let opening = 0; // the number of the last model opened, so that a slow one never replaces it
let latest = 0; // the number of the last request sent, so that a slow answer never replaces a newer one

const route = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** Say above everything what went wrong, with a button that tries `again`; null takes it away. */
function notice(error, again = load) {
  const box = byId("notice");
  const key = error && (error.status === 401 || error.status === 403 || (error.status === 429 && signIn.open()));
  box.hidden = !error || key;
  if (key) signIn.ask(error, again);
  if (box.hidden) return;
  const help = error.body?.help ? ` help: ${error.body.help}` : "";
  box.replaceChildren(el("span", {}, error.message, help), el("button", { type: "button", class: "quiet", onclick: again }, "Try again"));
}

// Models and versions

function drawModels() {
  const items = models.map((model) => {
    const versions = model.versions.map((version) => {
      const current = now?.model === model.name && now.version === version;
      const link = el("a", { href: route(model.name, version), "aria-current": current ? "page" : null }, `version ${version}`);
      if (version === model.default_version) link.append(el("span", { class: "default" }, "default"));
      return el("li", {}, link);
    });
    return el("li", { class: now?.model === model.name ? "current" : null }, el("span", { class: "model" }, model.name), el("ul", {}, versions));
  });
  byId("models").replaceChildren(el("ul", {}, items));
}

function drawTitle({ model, version, versions, about, contract, manifest, golden, given, files }) {
  document.title = `${model} · Fivefold`;
  byId("name").textContent = model;
  byId("about").textContent = contract.description ?? "";
  const facts = [
    ["Version", version === about.default_version ? `${version}, default` : version],
    ["Contract", ...(versions ? [`${contract.name}@`, chooser(versions, choose)] : [`${contract.name}@${contract.version}`])],
    ["Fields", `${contract.inputs.length} in, ${contract.outputs.length} out`],
    ["Runtime", about.runtime],
    ["Golden rows", given ? String(golden.length) : files ? `of ${manifest.contract.version} alone` : "not given out"],
    ["Bundle", about.bundle.slice(0, 12)],
  ];
  byId("facts").replaceChildren(...facts.map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** Open another version of the contract, by its address; the model's default one needs none there. */
function choose(contract) {
  const { model, version, versions } = now;
  location.hash = contract === versions.standard ? route(model, version) : route(model, version, contract);
}

function drawContract({ model, version, contract, manifest, files }) {
  const tables = [table("Inputs", contract.inputs, false), table("Outputs", contract.outputs, true)];
  if (Object.keys(manifest.created_from ?? {}).length) tables.push(origin(manifest.created_from));
  byId("tables").replaceChildren(...tables);
  const link = (name) => el("a", { href: api.address(api.filePath(model, version, name)) }, name);
  byId("files").hidden = api.shown() || !files; // a browser that follows a link shows no key
  byId("files").replaceChildren(link("contract.json"), link("golden.jsonl"), link("bundle.json"));
}

// Golden rows

function drawRow() {
  const { golden, row, edited, given } = now;
  const which = given ? [el("span", { class: "wordy" }, "Golden row "), `${row + 1} of ${golden.length}`] : ["An example"];
  byId("row").replaceChildren(...which, edited ? ", edited" : "");
  byId("reset").hidden = !edited;
}

function fill(row) {
  const { golden, form } = now;
  now.row = (row + golden.length) % golden.length;
  now.edited = false;
  form.fill(golden[now.row].in);
  drawRow();
  drawCode();
}

/** Fill in a golden row and ask for its answer. */
function go(row) {
  fill(row);
  predict({ focus: false });
}

function changed() {
  now.edited = true;
  drawRow();
  drawCode();
  byId("stale").hidden = !byId("answer").firstChild;
  say("", true);
}

// The request and its answer

function verdict(prediction) {
  const expected = now.golden[now.row]?.out;
  if (now.edited || !expected) return null;
  const tolerance = Math.max(SLACK, Number(now.manifest.tolerance) || 0);
  return same(prediction, expected, tolerance)
    ? ["agrees", `as recorded in golden row ${now.row + 1}`]
    : ["differs", `differs from what golden row ${now.row + 1} recorded`];
}

/** One line beside the button, for who does not see the answer. */
function say(text, good) {
  byId("brief").textContent = text;
  byId("brief").classList.toggle("faulty", !good);
}

/** What is to be known of the contract version of an answer. */
function remark(text) {
  byId("remark").textContent = text;
  byId("remark").hidden = !text;
}

function showAnswer({ text, answer, headers, ms }) {
  const [prediction] = answer.predictions;
  byId("answer").replaceChildren(...draw(now.contract, prediction, answer.metadata, ms, verdict(prediction)).filter(Boolean));
  say(headline(now.contract, prediction), true);
  remark(remarks(headers));
  showRaw(answer, text);
}

function showRaw(value, text) {
  byId("raw").hidden = false;
  byId("raw").querySelector("code").replaceChildren(...coloured(value === null ? text : JSON.stringify(value, null, 2)));
}

/** Show a refusal at its fields; gives the controls that have a violation. */
function showRefusal(error) {
  const violations = error.details.length ? error.details : error.path ? [{ code: error.code, path: error.path, error: error.message.replace(`${error.path}: `, ""), help: error.body?.help }] : [];
  const { bad, rest } = now.form.show(violations);
  if (bad.some(({ node }) => node.hidden)) {
    byId("filter").value = "";
    filter();
  }
  byId("answer").replaceChildren(...refusal(error, bad, rest).flat().filter(Boolean));
  say(bad.length ? byId("answer").querySelector("strong").textContent : error.code || "no answer", false);
  byId("raw").hidden = !error.body || !error.status;
  if (error.status) showRaw(error.body, "");
  return bad;
}

async function predict({ focus = true } = {}) {
  const opened = now;
  const number = ++latest;
  const { literals, problems } = opened.form.collect();
  const settle = () => {
    for (const id of ["predict", "answer"]) byId(id).removeAttribute("aria-busy");
    byId("stale").hidden = true;
  };
  if (problems.length) {
    settle();
    const [control] = showRefusal(Object.assign(new Error("not sent"), { code: problems[0].code, details: problems, status: 0 }));
    if (focus) control?.focus();
    return false;
  }
  for (const id of ["predict", "answer"]) byId(id).setAttribute("aria-busy", "true");
  const request = body(literals);
  let result;
  try {
    result = await api.predict(opened.model, opened.version, opened.versions?.chosen, request);
  } catch (error) {
    result = error;
  }
  if (opened !== now) return false;
  const good = !(result instanceof Error);
  if (!good && !(result instanceof api.Refused)) throw result;
  latency.add(result.ms, good);
  if (number !== latest) return good;
  settle();
  here.ask(request, opened.versions?.chosen, result);
  if (good) {
    opened.form.show([]);
    showAnswer(result);
  } else {
    const [control] = showRefusal(result);
    if (focus) control?.focus();
  }
  if (!good && (result.status === 0 || result.status >= 500)) checkReady();
  if (!good && result.status === 401) notice(result);
  return good;
}

async function burst() {
  const button = byId("burst");
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  byId("answer").setAttribute("aria-live", "off");
  for (let sent = 0; sent < BURST; sent += 1) {
    if (!(await predict())) break;
  }
  button.removeAttribute("aria-disabled");
  byId("answer").setAttribute("aria-live", "polite");
}

function filter() {
  const input = byId("filter");
  const left = now.form.filter(input.value);
  byId("found").textContent = input.value.trim() ? `${left} of ${now.contract.inputs.length}` : "";
}

// Code

function drawCode() {
  const { model, version, versions, contract, form } = now;
  const { literals } = form.collect();
  const url = api.address(`${api.versionPath(model, version)}:predict`);
  const origin = api.address("").replace(/\/$/, "");
  const request = { model, version, asked: versions?.chosen, contract, literals, url, grpc, guarded: api.shown(), origin };
  const text = LANGUAGES.find(({ id }) => id === language).code(request);
  const code = byId("snippet").querySelector("code");
  code.replaceChildren(...coloured(text));
  for (const tab of byId("tabs").children) {
    const chosen = tab.id === `tab-${language}`;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  byId("snippet").setAttribute("aria-labelledby", `tab-${language}`);
}

function drawTabs() {
  const choose = (id) => {
    language = id;
    drawCode();
  };
  byId("tabs").replaceChildren(
    ...LANGUAGES.map(({ id, title }) =>
      el("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "snippet", onclick: () => choose(id) }, title),
    ),
  );
  byId("tabs").addEventListener("keydown", (event) => {
    const at = LANGUAGES.findIndex(({ id }) => id === language);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: LANGUAGES.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const { id } = LANGUAGES[(to + LANGUAGES.length) % LANGUAGES.length];
    choose(id);
    byId(`tab-${id}`).focus();
  });
}

async function copy() {
  const text = byId("snippet").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Off localhost and without TLS a page has no clipboard; selected text can still be copied by hand.
    getSelection().selectAllChildren(byId("snippet"));
    byId("copied").textContent = "selected: copy it with the keyboard";
    return;
  }
  byId("copied").textContent = "copied";
  byId("copy").textContent = "Copied";
  setTimeout(() => {
    byId("copy").textContent = "Copy";
    byId("copied").textContent = "";
  }, 1600);
}

// Opening

async function open(model, version, contract) {
  const number = ++opening;
  let details;
  try {
    details = await api.open(model, version, contract);
  } catch (error) {
    notice(error, openRoute);
    checkReady();
    return;
  }
  if (number !== opening) return;
  notice(null);
  now = { model, version, row: 0, edited: false, ...details };
  now.form = new Form(byId("fields"), now.contract, changed);
  byId("filter").value = "";
  byId("find").hidden = now.contract.inputs.length < 9;
  filter();
  latency.clear();
  byId("answer").replaceChildren();
  remark("");
  for (const id of ["title", "work", "code", "contract"]) byId(id).hidden = false;
  drawModels();
  drawTitle(now);
  drawContract(now);
  fill(0);
  here.open(now);
  onDemand.open(now);
  await predict({ focus: false });
}

/** Open what the address names, `#/model/version` and maybe `/contract version`, or the first model's default version. */
async function openRoute() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [name, wanted, contract] = location.hash.slice(2).split("/").map(decodeURIComponent);
  const model = models.find((each) => each.name === name) ?? models[0];
  if (!model) {
    notice(new Error("This server has no model."));
    return;
  }
  const version = model.name === name && model.versions.includes(wanted) ? wanted : model.default_version;
  const standing = now?.model === model.name && now.version === version;
  if (standing && (!now.versions || now.versions.chosen === (now.versions.versions.includes(contract) ? contract : now.versions.standard))) return;
  const first = now === null;
  await open(model.name, version, contract);
  if (!first) byId(standing ? "contract-version" : "name")?.focus();
}

async function checkReady() {
  const text = await api.ready();
  const state = byId("state");
  state.classList.toggle("ready", text === "ready");
  if (state.textContent !== text) state.textContent = text;
}

/** Ask the server what it has, and open what the address names. */
async function load() {
  let about;
  try {
    [models, grpc, about] = await Promise.all([api.models(), api.grpc(), api.server()]);
  } catch (error) {
    notice(error);
    return;
  }
  notice(null);
  const asked = signIn.done();
  if (about) byId("server").textContent = `${about.name} ${about.version}`;
  await openRoute();
  if (asked) byId("name").focus();
}

async function start() {
  drawTabs();
  signIn.start();
  byId("request").addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  byId("request").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      predict();
    }
  });
  byId("reset").addEventListener("click", () => {
    go(now.row);
    byId("predict").focus();
  });
  byId("next").addEventListener("click", () => go(now.row + 1));
  byId("previous").addEventListener("click", () => go(now.row - 1));
  byId("filter").addEventListener("input", filter);
  byId("filter").addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
  byId("burst").addEventListener("click", burst);
  byId("copy").addEventListener("click", copy);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("request").focus();
  });
  window.addEventListener("hashchange", openRoute);
  setInterval(() => document.hidden || checkReady(), READY_EVERY);
  checkReady();
  await load();
}

start();
