// Parts of the page that few visits use, a file of rows and what came in: their modules are loaded when they are asked for.

import * as api from "./api.js";
import { byId } from "./dom.js";

/** Listens for what asks for such a part; what is open in the page is told it by `open`. */
export class OnDemand {
  #opened = null;
  #unauthenticated;
  #failed;
  #file = null;

  /** `unauthenticated(error)` asks for another key, `failed(error)` says that a part cannot be loaded. */
  constructor(unauthenticated, failed) {
    [this.#unauthenticated, this.#failed] = [unauthenticated, failed];
    if (!api.takesFiles) return;
    byId("file-input").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      target.value = ""; // so that the same one may be chosen again
      if (file) this.#take(file);
    });
    const files = (event) => this.#opened && event.dataTransfer.types.includes("Files");
    const over = (on) => byId("file").classList.toggle("over", on);
    document.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      over(true);
    });
    document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? over(false));
    document.addEventListener("drop", (event) => {
      over(false);
      if (!files(event) || event.target.closest("#request .file")) return;
      event.preventDefault();
      byId("file").scrollIntoView({ block: "nearest" });
      this.#take(event.dataTransfer.files[0]);
    });
    byId("inputs-show").addEventListener("click", () => this.#show());
  }

  /** Both are about this model from now on; `details` is what the page has open. */
  async open(details) {
    if (!api.takesFiles) return;
    this.#opened = details;
    this.#file?.close();
    byId("file").hidden = false;
    const counted = await api.countsInputs();
    if (details !== this.#opened || !counted) return;
    byId("inputs").hidden = false;
    byId("inputs-show").textContent = "Show";
    byId("inputs-body").replaceChildren();
  }

  async #take(file) {
    const opened = this.#opened;
    const part = await this.#loaded(() => import("./file.js"));
    if (!part || opened !== this.#opened) return;
    this.#file ??= new part.FileCard(this.#unauthenticated);
    await this.#file.take(file, opened);
  }

  async #show() {
    const opened = this.#opened;
    const part = await this.#loaded(() => import("./inputs.js"));
    const drawn = part && (await part.inputs(opened));
    if (!drawn || opened !== this.#opened) return;
    byId("inputs-show").textContent = "Refresh";
    byId("inputs-body").replaceChildren(...drawn);
  }

  async #loaded(load) {
    try {
      return await load();
    } catch {
      this.#failed(new Error("A part of the page cannot be loaded: is the server still running?"));
      return null;
    }
  }
}
