package io.fivefold.contract;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which field of the sending contract is which field of the receiving one: by name first, then by alias, never by
 * place.
 */
final class Pairing {
  /** Receiver to sender, in the receivers' order. */
  final Map<Field, Field> matched = new LinkedHashMap<>();
  /** Receivers for which nobody sends anything, in order. */
  final List<Field> unsent = new ArrayList<>();
  /** Senders whose field nobody takes, in order. */
  final List<Field> unreceived = new ArrayList<>();

  private final Map<String, Field> free = new LinkedHashMap<>();
  private final Map<Field, Field> found = new HashMap<>();

  /** Pair fields by the same name, then by a receiver's alias, then by a sender's alias. */
  Pairing(List<Field> senders, List<Field> receivers) {
    Map<String, String> byAlias = new HashMap<>();
    for (Field sender : senders) {
      free.put(sender.name(), sender);
      for (String alias : sender.aliases()) byAlias.put(alias, sender.name());
    }
    for (Field receiver : receivers) take(receiver, receiver.name());
    for (Field receiver : receivers) {
      for (String alias : receiver.aliases()) {
        if (!free.containsKey(alias)) continue;
        take(receiver, alias);
        break;
      }
    }
    for (Field receiver : receivers) take(receiver, byAlias.get(receiver.name()));
    for (Field receiver : receivers) {
      Field sender = found.get(receiver);
      if (sender == null) unsent.add(receiver);
      else matched.put(receiver, sender);
    }
    unreceived.addAll(free.values());
  }

  private void take(Field receiver, String name) {
    Field sender = name == null ? null : free.get(name);
    if (sender == null || found.containsKey(receiver)) return;
    free.remove(sender.name());
    found.put(receiver, sender);
  }
}
