// The time of the last requests, drawn as they happen: one bar each, from sending to the whole answer, as this browser saw it.

import { el, milliseconds, svg } from "./dom.js";

const LAST = 48;
const HEIGHT = 64;
const STEP = 6.25;

/** The middle one, or what lies halfway between the two in the middle. */
function median(sorted) {
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The smallest time that at least this share does not exceed. */
function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

/** A chart of the last 48 requests and their median and 95th percentile. */
export class Latency {
  constructor(root) {
    this.requests = [];
    this.root = root;
    this.draw();
  }

  /** One more request: its milliseconds, and whether it was answered with a prediction. */
  add(ms, good) {
    this.requests = [...this.requests, { ms, good }].slice(-LAST);
    this.draw();
  }

  clear() {
    this.requests = [];
    this.draw();
  }

  draw() {
    const times = this.requests.map(({ ms }) => ms).sort((a, b) => a - b);
    if (!times.length) {
      this.root.replaceChildren(el("p", { class: "aside" }, "The time of each request will be drawn here."));
      return;
    }
    const top = times.at(-1);
    const height = (ms) => Math.max(2, (ms / top) * (HEIGHT - 4));
    const middle = median(times);
    const left = (LAST - this.requests.length) * STEP;
    const drawn = this.requests.map(({ ms, good }, index) =>
      svg(
        "rect",
        {
          class: good ? "good" : "failed",
          x: left + index * STEP,
          y: HEIGHT - height(ms),
          width: STEP - 1.75,
          height: height(ms),
          rx: 1.2,
        },
        svg("title", {}, `${milliseconds(ms)}${good ? "" : ", refused"}`),
      ),
    );
    const line = HEIGHT - height(middle);
    const figure = (name, ms) => el("div", {}, el("dt", {}, name), el("dd", {}, milliseconds(ms)));
    const refused = this.requests.filter(({ good }) => !good).length;
    this.root.replaceChildren(
      svg(
        "svg",
        { class: "chart", viewBox: `0 0 ${LAST * STEP} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        drawn,
        svg("line", { x1: 0, x2: LAST * STEP, y1: line, y2: line }),
      ),
      el("dl", { class: "figures" }, figure("last", this.requests.at(-1).ms), figure("median", middle), figure("p95", quantile(times, 0.95))),
      el("p", { class: "aside" }, `${times.length === 1 ? "1 request" : `${times.length} requests`}, sent to answered${refused ? `, ${refused} refused` : ""}`),
    );
  }
}
