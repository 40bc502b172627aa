/**
 * What this device has: the model and how it came here, the events that wait for the hub, and the network.
 */

import { byId, el } from "fivefold-page/dom.js";
import type { Answered, Status } from "../calls.js";
import { call, onStatus, site, start } from "./worker-link.js";

const panel = el("section", { class: "card device", id: "device", "aria-labelledby": "device-title", hidden: true });
const saved = el("p", { class: "saved", id: "saved", role: "status" });
const facts = el("dl", { class: "facts" });
const notes = el("div", { class: "notes" });
const hub = el("div", { class: "hub" });

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const button = (text: string, onclick: () => void): HTMLElement => el("button", { type: "button", class: "quiet", onclick }, text);
const note = (id: string, text: string, ...more: unknown[]): HTMLElement => el("p", { id, class: "note" }, text, " ", ...more);

/** Say beside the answer whether it is on the disk for the hub; undefined where there was none. */
export function tellSaved(answered: Answered | undefined): void {
  saved.classList.toggle("faulty", answered?.unsaved !== undefined);
  if (answered?.unsaved) saved.textContent = `not saved: ${answered.unsaved.error}`;
  else saved.textContent = answered?.saved ? "saved on this device" : "";
  if (answered?.saved) void persist();
}

let asked = false;

/** Ask the browser once to keep what is stored; one that will not says so in the panel. */
async function persist(): Promise<void> {
  if (asked) return;
  asked = true;
  await navigator.storage.persist();
  const registration = await navigator.serviceWorker.getRegistration();
  const background = registration as unknown as { sync?: { register(tag: string): Promise<void> } };
  // Only some browsers wake a closed page for this; all others send when it is open.
  await background.sync?.register("fivefold-outbox").catch(() => undefined);
}

function draw(status: Status): void {
  panel.hidden = false;
  const { open, active, previous, refused, outbox } = status;
  const row = (name: string, ...value: unknown[]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
  const rows = [row("Model", `${open.name} ${open.version}`), row("Golden rows", status.largest === 0 ? "equal here" : `within ${status.largest.toExponential(1)} here`)];
  const said: HTMLElement[] = [];
  if (active && active.digest !== open.digest) said.push(note("newer", `Version ${active.version} is on this device.`, button("Show it", () => location.reload())));
  if (refused) said.push(note("refused", `Version ${refused.version} was not taken: ${refused.message}`));
  if (previous && active?.digest === open.digest) said.push(note("previous", `Version ${previous.version} is kept.`, button("Go back to it", goBack)));
  if (outbox) {
    const waiting = outbox.lanes.reduce((sum, lane) => sum + lane.waiting, 0);
    const bytes = outbox.lanes.reduce((sum, lane) => sum + lane.bytes, 0);
    rows.push(row("Waiting", el("span", { id: "waiting" }, String(waiting)), waiting ? ` of ${megabytes(bytes)}, room for ${megabytes(outbox.quotaBytes)}` : ""));
    if (outbox.oldest !== undefined) rows.push(row("Since", new Date(outbox.oldest).toLocaleString()));
    rows.push(row("Sent", String(outbox.lanes.reduce((sum, lane) => sum + lane.acked, 0))));
    for (const lane of outbox.lanes) {
      if (lane.stop) said.push(note("stopped", `Nothing is sent (${lane.stop.code}): ${lane.stop.message}.`, button(lane.stop.code === "outbox_copied" ? "Go on under a name of its own" : "Go on, and record the loss", () => void call("resume", undefined))));
      if (lane.rejected) said.push(note("rejected", `The hub took ${lane.rejected} events aside as none that it can read.`));
      if (lane.dropped) said.push(note("dropped", `${lane.dropped} events were given up for newer ones; the hub is told.`));
    }
    if (asked && !outbox.persisted) said.push(note("evictable", "This browser may throw away what waits when the device runs out of room."));
    if (outbox.device && outbox.flushed && outbox.flushed.outcome !== "done" && outbox.flushed.message) said.push(note("sending", `Not sent: ${outbox.flushed.message}.`, button("Try again", () => void call("flush", undefined))));
    drawHub(outbox.device);
  }
  facts.replaceChildren(...rows);
  notes.replaceChildren(...said);
}

async function goBack(): Promise<void> {
  await call("rollBack", undefined);
  location.reload();
}

let drawnFor: string | undefined | null = null;

/** The way to the hub: the device's id and key, once; drawn anew only where it has changed, so that typing is not lost. */
function drawHub(device: string | undefined): void {
  if (drawnFor === device) return;
  drawnFor = device;
  if (device !== undefined) {
    hub.replaceChildren(el("p", {}, `Sent to ${new URL(site.hub!, document.baseURI).host} as `, el("code", {}, device), " ", button("Disconnect", () => void call("connect", { device: "", key: "" }))));
    return;
  }
  const id = el("input", { id: "device-id", required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,62}", autocomplete: "off", spellcheck: "false", autocapitalize: "off" }) as HTMLInputElement;
  const key = el("input", { id: "device-key", type: "password", required: true, autocomplete: "off" }) as HTMLInputElement;
  const submit = (event: Event): void => {
    event.preventDefault();
    void call("connect", { device: id.value.trim(), key: key.value.trim() });
  };
  const words = `Answers are kept on this device until it may send them to ${new URL(site.hub!, document.baseURI).host}.`;
  hub.replaceChildren(el("p", {}, words), el("form", { onsubmit: submit }, el("label", { for: "device-id" }, "Device"), id, el("label", { for: "device-key" }, "Key"), key, el("button", { class: "quiet" }, "Connect")));
}

/** A newer page waits until this one lets it: with files of its own, it is never mixed with this one. One that is not whole
 * is not kept at all, and this one goes on. */
async function watchPage(): Promise<void> {
  const registration = await navigator.serviceWorker?.ready;
  if (!registration) return;
  const tell = (...parts: HTMLElement[]): void => byId("page-update").replaceChildren(...parts);
  const offer = (): void => {
    const { waiting } = registration;
    if (!waiting || !navigator.serviceWorker.controller) return;
    const take = (): void => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      waiting.postMessage("take over");
    };
    tell(note("newer-page", "A newer form of this page is on this device.", button("Show it", take)));
  };
  const follow = (): void => {
    const coming = registration.installing;
    let kept = false;
    coming?.addEventListener("statechange", () => {
      kept ||= coming.state === "installed";
      if (coming.state === "redundant" && !kept) tell(note("refused-page", "A newer form of this page was not kept: a file of it is not what it was exported as, or the network is gone."));
      else offer();
    });
  };
  registration.addEventListener("updatefound", follow);
  follow();
  offer();
}

/** Put the panel beside the answer, and keep it up to date. */
export function show(): void {
  for (const old of document.querySelectorAll('nav[aria-label="Server"], #code')) old.toggleAttribute("hidden", true);
  panel.append(el("header", {}, el("h2", { id: "device-title" }, "This device")), el("div", { class: "inside" }, facts, notes, el("div", { id: "page-update" }), hub));
  document.querySelector(".side")!.append(panel);
  byId("answer").after(saved);
  onStatus(draw);
  void watchPage();
  start().then(
    async () => draw(await call("status", undefined)),
    // The page itself says what went wrong, and offers to try again.
    () => undefined,
  );
  document.addEventListener("visibilitychange", () => void start().then(() => call(document.hidden ? "flush" : "look", undefined)).catch(() => undefined));
}
