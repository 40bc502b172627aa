// The hub's page: asks for the figures every few seconds and shows them; text of devices is only ever set as text.

const EVERY = 5000;
const KEY = "fivefold-hub-key";
const find = (id) => document.getElementById(id);
let devices = [];
let now = Date.now();

async function ask(path) {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(path, key ? { headers: { authorization: `Bearer ${key}` } } : {});
  const body = await answer.json();
  if (!answer.ok) {
    throw Object.assign(new Error(body.error ?? `HTTP ${answer.status}`), { status: answer.status });
  }
  return body;
}

async function allDevices() {
  const out = [];
  for (let after = ""; ; after = out[out.length - 1].id) {
    const page = await ask(`v1/hub/devices?limit=1000&after=${encodeURIComponent(after)}`);
    now = page.now;
    out.push(...page.devices);
    if (page.devices.length < 1000) {
      return out;
    }
  }
}

function cell(content, name = "") {
  const out = document.createElement("td");
  out.className = name;
  out.append(content ?? "");
  return out;
}

function row(...cells) {
  const out = document.createElement("tr");
  out.append(...cells);
  return out;
}

function mono(text) {
  const out = document.createElement("code");
  out.textContent = text;
  return out;
}

const count = (number) => number.toLocaleString("en");
const total = (lanes) => Object.values(lanes ?? {}).reduce((sum, each) => sum + (Number(each) || 0), 0);

function ago(then) {
  if (then === null || then === undefined || Number.isNaN(then)) {
    return "never";
  }
  const seconds = Math.max(0, (now - then) / 1000);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) {
      return `${Math.floor(seconds / size)} ${unit} ago`;
    }
  }
  return `${Math.floor(seconds)} s ago`;
}

const failed = (each) => each.state === "rolled_back" || each.state === "refused";

function model(each) {
  const release = each.release ? ` release ${each.release}` : "";
  const state = each.state === "active" ? "" : ` ${each.state}`;
  return `${each.name} ${each.version}${release}${state}${each.reason ? `: ${each.reason}` : ""}`;
}

// What keeps a device's events from coming.
function trouble(each) {
  const stopped = Object.entries(each.report.stopped ?? {}).map(([lane, code]) => `${lane} stopped: ${code}`);
  return [...stopped, ...(each.copied === null ? [] : [`copied outbox, ${ago(each.copied)}`])].join(", ");
}

/** One line a model, so that one that failed stands out from the one that is served. */
function modelLines(models) {
  const out = document.createElement("ul");
  out.append(...models.map((each) => {
    const line = document.createElement("li");
    line.className = failed(each) ? "bad" : "";
    line.textContent = model(each);
    return line;
  }));
  return models.length ? out : "";
}

/** Rows into a table, each cell with its column's name, which a narrow screen shows beside it; `none` where there are none. */
function fill(id, rows, none) {
  const body = find(id);
  const heads = [...body.closest("table").tHead.rows[0].cells].map((head) => head.textContent);
  for (const each of rows) {
    [...each.cells].forEach((one, at) => (one.dataset.label = heads[at]));
  }
  if (!rows.length) {
    const empty = cell(none, "soft");
    empty.colSpan = heads.length;
    rows = [row(empty)];
  }
  body.replaceChildren(...rows);
}

function showDevices() {
  const wanted = find("filter").value.trim().toLowerCase();
  const rows = [];
  for (const each of devices) {
    const models = each.report.models ?? [];
    if (wanted && !`${each.id} ${models.map(model).join(" ")} ${each.report.software ?? ""} ${trouble(each)}`.toLowerCase().includes(wanted)) {
      continue;
    }
    const backlog = each.report.backlog;
    rows.push(row(
      cell(mono(each.id), "short"),
      cell(ago(each.seen), each.seen === null ? "short soft" : "short"),
      cell(count(total(each.delivered)), "number"),
      cell(backlog ? count(total(backlog)) : "", "number"),
      cell(each.report.oldest ? ago(Date.parse(each.report.oldest)) : "", "short"),
      cell(modelLines(models)),
      cell(each.report.software ?? "", "short soft"),
      cell(each.quarantined ? count(each.quarantined) : "", "number bad"),
      cell(trouble(each), "bad"),
      cell(each.keys ? String(each.keys) : "revoked", each.keys ? "soft" : "bad"),
    ));
  }
  fill("devices", rows, wanted ? "No device is like that." : "No device yet: fivefold hub device add ID makes one.");
  find("device-count").textContent = wanted ? `${count(rows.length)} of ${count(devices.length)}` : count(devices.length);
}

function showReleases(releases) {
  fill("releases", releases.map((each) => row(
    cell(each.model, "short"),
    cell(String(each.release), "number"),
    cell(each.version),
    cell(each.channel === "canary" ? `canary, ${each.share} %` : each.channel),
    cell(Object.entries(each.devices).map(([state, number]) => `${number} ${state}`).join(", "), "soft"),
    cell(each.halted === null ? "offered" : `halted: ${each.halted}`, each.halted === null ? "good" : "bad"),
  )), "No release: fivefold hub publish makes one.");
}

function showQuarantine(lines) {
  fill("quarantine", lines.map((each) => row(
    cell(mono(each.device), "short"), cell(each.lane), cell(String(each.seq), "number"), cell(each.code, "bad"),
    cell(each.message), cell(mono(each.raw.slice(0, 160))),
  )), "Nothing: every line was an event.");
}

function showFacts(overview) {
  const facts = [["Devices", count(overview.devices)], ["Events", count(overview.events)],
    ["Quarantine", count(overview.quarantined)]];
  const forwarding = overview.forwarding;
  if (forwarding !== null) {
    const behind = forwarding.position === null ? "?" : count(overview.events - forwarding.position);
    facts.push(["Forwarded to", forwarding.to], ["Not forwarded yet", behind]);
  }
  find("facts").replaceChildren(...facts.map(([name, value]) => {
    const out = document.createElement("div");
    const term = document.createElement("dt");
    const figure = document.createElement("dd");
    term.textContent = name;
    figure.textContent = value;
    out.append(term, figure);
    return out;
  }));
  const notice = find("notice");
  const trouble = forwarding?.trouble;
  notice.hidden = !trouble;
  notice.textContent = trouble ? `Events wait for ${forwarding.to}: ${trouble.error}` : "";
  find("foot").textContent = overview.store;
}

async function refresh() {
  const state = find("state");
  try {
    const [overview, found, quarantine] = await Promise.all([
      ask("v1/hub/overview"), allDevices(), ask("v1/hub/quarantine"),
    ]);
    devices = found;
    find("access").hidden = true;
    showFacts(overview);
    showDevices();
    showReleases(overview.releases);
    showQuarantine(quarantine.quarantine);
    state.textContent = "live";
    state.classList.add("ready");
  } catch (error) {
    state.textContent = "no answer";
    state.classList.remove("ready");
    find("notice").hidden = false;
    find("notice").textContent = error.message;
    find("access").hidden = error.status !== 401 && error.status !== 403;
    if (error.status === 401 || error.status === 403) {
      state.textContent = "not let in";
      sessionStorage.removeItem(KEY);
      return;
    }
  }
  setTimeout(refresh, EVERY);
}

find("filter").addEventListener("input", showDevices);
find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, find("key").value.trim());
  find("key").value = "";
  refresh();
});
refresh();
