/**
 * The errors of this room: each has a code, a path, a sentence and, where there is one, a line of help, as the server's.
 * What they become on a page is left to whoever shows them.
 */

/** How many violations an error carries. */
export const MAX_DETAILS = 16;

/** Characters of a sentence, a path or a help line as they travel. */
const LONGEST = 2048;

/** One cell, or one whole request, that breaks the contract. */
export interface Violation {
  readonly code: string;
  /** `inputs.field[row][i][j]`, row and elements left out where they do not apply. */
  readonly path: string;
  readonly message: string;
  readonly help?: string | undefined;
}

/** An error body as the server's answers have it. */
export interface ErrorBody {
  error: string;
  code: string;
  path: string;
  help?: string;
  details?: { code: string; path: string; error: string; help?: string }[];
  request_id?: string;
}

export interface ErrorParts {
  readonly path?: string | undefined;
  readonly help?: string | undefined;
  readonly details?: readonly Violation[] | undefined;
}

export class FivefoldError extends Error {
  readonly path: string;
  readonly help: string | undefined;
  /** The first sixteen violations, in the contract's order. */
  readonly details: readonly Violation[];

  constructor(
    readonly code: string,
    message: string,
    parts: ErrorParts = {},
  ) {
    super(message);
    this.name = new.target.name;
    this.path = parts.path ?? "";
    this.help = parts.help;
    this.details = (parts.details ?? []).slice(0, MAX_DETAILS);
  }

  toJSON(requestId = ""): ErrorBody {
    const body: ErrorBody = {
      error: cut(this.path ? `${this.path}: ${this.message}` : this.message),
      code: this.code,
      path: cut(this.path),
    };
    if (this.help) body.help = cut(this.help);
    if (this.details.length) {
      body.details = this.details.map((each) => ({
        code: each.code,
        path: cut(each.path),
        error: cut(each.message),
        ...(each.help ? { help: cut(each.help) } : {}),
      }));
    }
    if (requestId) body.request_id = requestId;
    return body;
  }
}

/** The caller's data breaks the contract; `details` holds the ordered violations. */
export class ContractError extends FivefoldError {
  /** The error of violations in order, at least one: the first one speaks. */
  static of(violations: readonly Violation[]): ContractError {
    const first = violations[0] as Violation;
    return new ContractError(first.code, first.message, { path: first.path, help: first.help, details: violations });
  }
}

/** A contract.json that is none, or that cannot be enforced; `path` points into it. */
export class ContractInvalid extends FivefoldError {
  constructor(message: string, parts: ErrorParts = {}) {
    super("contract_invalid", message, parts);
  }
}

/** The model's answer leaves the contract's outputs. */
export class ModelFailed extends FivefoldError {
  constructor(message: string, parts: ErrorParts = {}) {
    super("model_failed", message, parts);
  }
}

/** The request is not one that is answered: `not_implemented`, `contract_unsupported`. */
export class ProtocolError extends FivefoldError {}

function cut(text: string): string {
  if (text.length <= LONGEST) return text;
  const characters = Array.from(text);
  return characters.length <= LONGEST ? text : `${characters.slice(0, LONGEST - 1).join("")}…`;
}
