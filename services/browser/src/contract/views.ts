/**
 * How a model looks to callers of a contract version: what they send, what they get, and the way between.
 */

import { Adapter } from "./adapter.js";
import type { Columns } from "./columns.js";
import type { Contract } from "./contract.js";
import { ProtocolError } from "./errors.js";
import { firstPoints, named } from "./text.js";

/** A contract version that a bundle answers beside its own. */
export interface CarriedVersion {
  readonly contract: Contract;
  /** Whether it came after the model's own: the bundle then serves callers of a release that was taken back. */
  readonly newer?: boolean | undefined;
  /** ISO dates: since when callers are asked to leave it, and from when on it may be gone. */
  readonly deprecated?: string | undefined;
  readonly sunset?: string | undefined;
}

/** A model's contract in one version. */
export class View {
  constructor(
    /** What callers send and get. */
    readonly contract: Contract,
    private readonly adapter?: Adapter,
    readonly deprecated?: string | undefined,
    readonly sunset?: string | undefined,
  ) {}

  /** `NAME@VERSION` of the contract. */
  get name(): string {
    return `${this.contract.name}@${this.contract.version}`;
  }

  get version(): string {
    return this.contract.version;
  }

  /** Inputs of this version that the model does not take. */
  get ignored(): readonly string[] {
    return this.adapter?.ignored ?? [];
  }

  /** The caller's inputs as the model's own. */
  into(columns: Columns): Columns {
    return this.adapter ? this.adapter.into(columns) : columns;
  }

  /** The model's outputs as the caller's; throws `ModelFailed` where added labels leave the caller's bounds. */
  back(columns: Columns): Columns {
    return this.adapter ? this.adapter.back(columns) : columns;
  }
}

/** A bundle's views by contract version, in the bundle's order: older ones, the model's own, newer ones. */
export class Views {
  private constructor(
    private readonly model: string,
    private readonly views: ReadonlyMap<string, View>,
    /** The model's own contract. */
    readonly own: View,
    private readonly fallback: View,
  ) {}

  /** What a caller that names no version is answered under. */
  get default(): View {
    return this.fallback;
  }

  /** Throws `NotAdaptable` for a version that the model cannot answer. `fallback` is for callers that name none; where it
   * is absent, the version that callers have had longest. */
  static of(model: string, own: Contract, carried: readonly CarriedVersion[] = [], fallback?: string): Views {
    const viewOf = ({ contract, newer, deprecated, sunset }: CarriedVersion): [string, View] => [
      contract.version,
      new View(contract, Adapter.between(contract, own, newer), deprecated, sunset),
    ];
    const mine = new View(own);
    const views = new Map<string, View>([
      ...carried.filter(({ newer }) => !newer).map(viewOf),
      [own.version, mine],
      ...carried.filter(({ newer }) => newer).map(viewOf),
    ]);
    const found = new Views(model, views, mine, views.values().next().value!);
    return fallback === undefined ? found : new Views(model, views, mine, found.find(fallback));
  }

  /** The versions, oldest first as the bundle has them. */
  get versions(): readonly string[] {
    return [...this.views.keys()];
  }

  /** The view of a version, `VERSION` or `NAME@VERSION`; throws `ProtocolError` `contract_unsupported`. */
  find(asked: string): View {
    const found = this.views.get(asked) ?? [...this.views.values()].find((view) => view.name === asked);
    if (found) return found;
    const version = named(firstPoints(asked, 64));
    const message = `model ${named(this.model)} is not served under version ${version} of its contract`;
    throw new ProtocolError("contract_unsupported", message, { help: `versions: ${this.versions.join(", ")}` });
  }
}
