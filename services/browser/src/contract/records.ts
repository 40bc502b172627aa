/**
 * V1 bodies to columns: `{"instances": [...]}`, one object or positional array a row, or `{"inputs": {...}}`, one array a
 * field, as TensorFlow Serving's clients spell it. One cell is left to `cells`.
 */

import { defaultCell, defaultColumn, isWrapped, readRow } from "./cells.js";
import { ColumnBuilder, Columns } from "./columns.js";
import { ContractError } from "./errors.js";
import { type Json, type JsonObject, type Limits, loads, refuseRows } from "./exact-json.js";
import { type Field, indices } from "./field.js";
import { describe, Findings } from "./findings.js";
import { nearest } from "./suggestion.js";
import { comparePoints } from "./text.js";

const ENVELOPE = ["instances", "inputs", "parameters", "signature_name"];

/** Members of a record that a help line shows. */
const SHOWN = 4;

function sketch(value: Json): string {
  return Array.isArray(value) ? "[…]" : value instanceof Map ? "{…}" : describe(value);
}

/** Reads rows spelled as records under a list of fields. */
export class Records {
  private readonly names: ReadonlyMap<string, number>;
  private readonly containers: number;

  constructor(readonly fields: readonly Field[]) {
    this.names = indices(fields);
    this.containers = 1 + fields.reduce((sum, field) => sum + containers(field.shape), 0);
  }

  /** Read a V1 body; throws `ContractError`. */
  readBody(body: string | Uint8Array, limits: Limits = {}): { columns: Columns; byColumn: boolean } {
    const envelope = loads(body, limits, this.containers);
    if (!(envelope instanceof Map)) {
      const help = Array.isArray(envelope) ? 'wrap it in instances: {"instances": […]}' : undefined;
      throw new ContractError("malformed", `expected an object with instances, got ${describe(envelope)}`, { help });
    }
    const wrapped = this.wrapping(envelope);
    if (wrapped !== undefined) {
      throw new ContractError("malformed", "expected an object with instances, got a record by itself", { help: wrapped });
    }
    for (const name of envelope.keys()) {
      if (!ENVELOPE.includes(name)) {
        const message = `unknown member ${describe(name)} beside instances`;
        throw new ContractError("malformed", message, { help: nearest(name, ENVELOPE) });
      }
    }
    const instances = envelope.get("instances") ?? null;
    const inputs = envelope.get("inputs") ?? null;
    if (inputs !== null) {
      if (instances !== null) throw malformed("expected instances or inputs, got both", "inputs");
      return { columns: this.readColumns(inputs, limits.maxRows), byColumn: true };
    }
    if (!Array.isArray(instances)) {
      const got = envelope.has("instances") ? describe(instances) : "nothing";
      throw malformed(`expected an array of instances, got ${got}`, "instances");
    }
    return { columns: this.read(instances, limits.maxRows), byColumn: false };
  }

  /** How a record that came as the whole body is to be sent; undefined for what is no record of these fields. */
  private wrapping(envelope: JsonObject): string | undefined {
    const names = [...envelope.keys()];
    if (ENVELOPE.some((name) => envelope.has(name)) || !names.some((name) => this.names.has(name))) return undefined;
    const shown = names.slice(0, SHOWN).map((name) => `${describe(name)}: ${sketch(envelope.get(name)!)}`);
    if (names.length > SHOWN) shown.push("…");
    return `wrap it in instances: {"instances": [{${shown.join(", ")}}]}`;
  }

  /** Read parsed values, one a row; throws `ContractError`. */
  read(instances: readonly Json[], maxRows?: number): Columns {
    refuseRows(instances.length, maxRows);
    const fields = this.fields;
    const findings = new Findings(fields, instances.length);
    // Under a single field of bytes, an instance of that form is the field's value and no record.
    const wrapped = fields.length === 1 && fields[0]!.kind === "bytes" && !this.names.has("b64");
    const given = new GivenCells(fields);
    const unknown = new Map<string, number[]>();
    instances.forEach((instance, row) => {
      const value = wrapped && isWrapped(instance) ? instance.get("b64")! : instance;
      if (value instanceof Map) this.takeRecord(given, unknown, row, value);
      else this.takePositional(findings, given, row, value);
    });
    for (const name of firstNames(unknown.keys())) {
      const help = () => nearest(name, this.names.keys());
      findings.named("unknown_field", fields.length, name, unknown.get(name)!, "no such field", help);
    }
    given.doubled.forEach((rows, index) => {
      if (!rows.length) return;
      findings.named("duplicate_field", index, fields[index]!.name, rows, "given under two of its names");
    });
    const absent = fields.map((_, index) => given.absent(index, instances.length));
    fields.forEach((field, index) => {
      if (!field.required || !absent[index]!.length) return;
      findings.named("missing_field", index, field.name, absent[index]!, "expected a value, got nothing");
    });
    const columns = fields.map((field, index) => {
      // Nothing is kept of input that is refused already: a shape is soon written, and a column large.
      const column = findings.any ? undefined : new ColumnBuilder(field, instances.length);
      const cells = given.cells[index]!;
      for (let at = 0; at < cells.rows.length; at++) readRow(findings, index, cells.rows[at]!, cells.values[at]!, column);
      if (column && absent[index]!.length) {
        const cell = defaultCell(fields, index);
        for (const row of absent[index]!) column.putRow(row, cell);
      }
      return column;
    });
    findings.settle();
    return new Columns(fields, columns as ColumnBuilder[], instances.length);
  }

  private takeRecord(given: GivenCells, unknown: Map<string, number[]>, row: number, record: JsonObject): void {
    for (const [name, value] of record) {
      const index = this.names.get(name);
      if (index !== undefined) {
        given.take(index, row, value);
        continue;
      }
      const rows = unknown.get(name);
      if (rows) rows.push(row);
      else unknown.set(name, [row]);
      if (unknown.size > MANY_NAMES) {
        // The first by their bytes are the ones that are reported, whatever is still to come.
        const kept = new Set(firstNames(unknown.keys()));
        for (const other of unknown.keys()) if (!kept.has(other)) unknown.delete(other);
      }
    }
  }

  private takePositional(findings: Findings, given: GivenCells, row: number, value: Json): void {
    const width = this.fields.length;
    if (width === 1 && (this.fields[0]!.shape.length || !Array.isArray(value))) {
      given.take(0, row, value);
    } else if (!Array.isArray(value) || value.length !== width) {
      given.unreadable.push(row);
      findings.row(row, () => `expected an object or an array of ${width} values, got ${describe(value)}`);
    } else {
      value.forEach((cell, index) => given.take(index, row, cell));
    }
  }

  /** Read values that are spelled by column; throws `ContractError`. */
  readColumns(inputs: Json, maxRows?: number): Columns {
    const { fields } = this;
    if (Array.isArray(inputs) && fields.length === 1) inputs = new Map([[fields[0]!.name, inputs]]);
    if (!(inputs instanceof Map)) {
      throw malformed(`expected an object with an array for each field, got ${describe(inputs)}`, "inputs");
    }
    if (!inputs.size && !fields.some((field) => field.required)) {
      throw malformed("expected one field at least: no field, no number of rows", "inputs");
    }
    const arrays = new Map<number, readonly Json[]>();
    const doubled = new Set<number>();
    const unknown: string[] = [];
    let rows = 0;
    for (const [name, values] of inputs) {
      const index = this.names.get(name);
      if (index === undefined) {
        unknown.push(name);
        continue;
      }
      const path = `inputs.${fields[index]!.name}`;
      if (!Array.isArray(values)) throw malformed(`expected an array with one value a row, got ${describe(values)}`, path);
      if (!arrays.size) rows = values.length;
      else if (values.length !== rows) {
        throw malformed(`expected ${rows} values as in the first field, got ${values.length}`, path);
      }
      if (arrays.has(index)) doubled.add(index);
      arrays.set(index, values);
    }
    refuseRows(rows, maxRows);
    const findings = new Findings(fields, rows);
    for (const name of firstNames(unknown)) {
      findings.named("unknown_field", fields.length, name, "all", "no such field", () => nearest(name, this.names.keys()));
    }
    const columns = fields.map((field, index) => {
      const values = arrays.get(index);
      if (doubled.has(index)) {
        findings.named("duplicate_field", index, field.name, "all", "given under two of its names");
      } else if (values) {
        const column = findings.any ? undefined : new ColumnBuilder(field, rows);
        values.forEach((value, row) => readRow(findings, index, row, value, column));
        return column;
      } else if (field.required) {
        findings.named("missing_field", index, field.name, "all", "expected a value, got nothing");
      } else if (!findings.any) {
        return defaultColumn(fields, index, rows);
      }
      return undefined;
    });
    findings.settle();
    return new Columns(fields, columns as ColumnBuilder[], rows);
  }
}

const MANY_NAMES = 4096;

/** The unknown names that can be reported, by their UTF-8 bytes. */
export function firstNames(names: Iterable<string>): string[] {
  return [...names].sort(comparePoints).slice(0, 16);
}

/** The cells that rows give, by field. */
class GivenCells {
  readonly cells: { readonly rows: number[]; readonly values: Json[] }[];
  /** The rows that give the field under two of its names: neither value is judged. */
  readonly doubled: number[][];
  /** Rows that are no records at all; they lack nothing. */
  readonly unreadable: number[] = [];

  constructor(fields: readonly Field[]) {
    this.cells = fields.map(() => ({ rows: [], values: [] }));
    this.doubled = fields.map(() => []);
  }

  take(index: number, row: number, value: Json): void {
    const { rows, values } = this.cells[index]!;
    const doubled = this.doubled[index]!;
    if (doubled.at(-1) === row) return;
    if (rows.at(-1) === row) {
      rows.pop();
      values.pop();
      doubled.push(row);
      return;
    }
    rows.push(row);
    values.push(value);
  }

  /** The rows that do not give the field, rising. */
  absent(index: number, rows: number): number[] {
    const { rows: given } = this.cells[index]!;
    const doubled = this.doubled[index]!;
    if (given.length + doubled.length + this.unreadable.length === rows) return [];
    const there = new Uint8Array(rows);
    for (const list of [given, doubled, this.unreadable]) for (const row of list) there[row] = 1;
    const out: number[] = [];
    for (let row = 0; row < rows; row++) if (!there[row]) out.push(row);
    return out;
  }
}

/** The arrays that spell one nested value of that shape. */
function containers(shape: readonly number[]): number {
  let sum = 0;
  let product = 1;
  for (const size of shape) {
    sum += product;
    product *= size;
  }
  return sum;
}

function malformed(message: string, path: string): ContractError {
  return new ContractError("malformed", message, { path });
}
