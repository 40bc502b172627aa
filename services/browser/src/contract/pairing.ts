/**
 * Which field of the sending contract is which field of the receiving one: by name first, then by alias, never by place.
 */

import type { Field } from "./field.js";

/** The fields of two sides, each of them once. */
export interface Pairing {
  /** Sender and receiver, in the receivers' order. */
  readonly matched: readonly (readonly [Field, Field])[];
  /** Receivers for which nobody sends anything, in order. */
  readonly unsent: readonly Field[];
  /** Senders whose field nobody takes, in order. */
  readonly unreceived: readonly Field[];
}

/** Pair fields by the same name, then by a receiver's alias, then by a sender's alias. */
export function pairs(senders: readonly Field[], receivers: readonly Field[]): Pairing {
  const free = new Map(senders.map((field) => [field.name, field]));
  const found = new Map<Field, Field>();
  const take = (receiver: Field, name: string | undefined): void => {
    const sender = name === undefined ? undefined : free.get(name);
    if (!sender || found.has(receiver)) return;
    free.delete(sender.name);
    found.set(receiver, sender);
  };
  for (const receiver of receivers) take(receiver, receiver.name);
  for (const receiver of receivers) take(receiver, receiver.aliases.find((alias) => free.has(alias)));
  const byAlias = new Map(senders.flatMap((field) => field.aliases.map((alias) => [alias, field.name] as const)));
  for (const receiver of receivers) take(receiver, byAlias.get(receiver.name));
  return {
    matched: receivers.flatMap((receiver) => {
      const sender = found.get(receiver);
      return sender ? [[sender, receiver] as const] : [];
    }),
    unsent: receivers.filter((receiver) => !found.has(receiver)),
    unreceived: [...free.values()],
  };
}
