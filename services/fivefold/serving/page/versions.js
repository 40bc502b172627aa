// The versions of a model's contract: the choice between them, and what an answer says of the one that it is of.

import { el } from "./dom.js";

/** The request header that names a version; the answer has it too. */
export const HEADER = "x-contract-version";

const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });

/** The headers of a request under a version; none where the model has one alone. */
export const asking = (version) => (version ? { [HEADER]: version } : {});

/** `{versions, chosen, standard}` of a model's contract: `standard` is what callers get who name none, `chosen` the version
 * `wanted`, or that one; null where the model answers one version alone, or the server speaks of none. */
export function choice({ contract, contracts = [] }, wanted) {
  if (contracts.length < 2) return null;
  const standard = contract.slice(contract.lastIndexOf("@") + 1);
  return { versions: contracts, standard, chosen: contracts.includes(wanted) ? wanted : standard };
}

/** The choice as a list to choose from; `choose` is given the version. */
export function chooser({ versions, chosen, standard }, choose) {
  const options = versions.map((version) =>
    el("option", { value: version, selected: version === chosen }, version === standard ? `${version}, default` : version),
  );
  const box = el("select", { id: "contract-version", class: "version", "aria-label": "Contract version" }, options);
  box.addEventListener("change", () => choose(box.value));
  return box;
}

/** RFC 9745: `@` and seconds since 1970. */
const since = (text) => (/^@\d+$/.test(text ?? "") ? day.format(Number(text.slice(1)) * 1000) : null);

/** RFC 8594: an HTTP date. */
const until = (text) => (Number.isNaN(Date.parse(text ?? "")) ? null : day.format(Date.parse(text)));

/** What an answer's headers say beside the answer, as a sentence or several; empty where they say nothing. */
export function remarks(headers) {
  const [ended, gone] = [since(headers.get("deprecation")), until(headers.get("sunset"))];
  const ignored = headers.get("x-contract-ignored");
  const facts = [ended && `is deprecated since ${ended}`, gone && `may be gone from ${gone}`].filter(Boolean);
  return [
    facts.length ? `Version ${headers.get(HEADER)} of the contract ${facts.join(" and ")}.` : "",
    ignored ? `The model does not take ${ignored.replaceAll(",", ", ")}: this version may send it, and it is left out.` : "",
  ]
    .filter(Boolean)
    .join(" ");
}
