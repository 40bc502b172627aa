package io.fivefold.contract;

import java.util.LinkedHashMap;
import java.util.Map;

/** A bundle's views by contract version, in the bundle's order: older ones, the model's own, newer ones. */
public final class Views {
  /** A contract version that a bundle answers beside its own. */
  public static final class Carried {
    final Contract contract;
    final boolean newer;

    /** {@code newer}: it came after the model's own, of a release that was taken back. */
    public Carried(Contract contract, boolean newer) {
      this.contract = contract;
      this.newer = newer;
    }
  }

  private final String model;
  private final Map<String, View> views = new LinkedHashMap<>();
  private final View own;
  private final View otherwise;

  /**
   * Throws {@link NotAdaptableException} for a version that the model cannot answer. {@code fallback} is for callers
   * that name none; where it is null, the version that callers have had longest.
   */
  public Views(String model, Contract own, Iterable<Carried> carried, String fallback) {
    this.model = model;
    this.own = new View(own, null);
    for (Carried each : carried) if (!each.newer) put(each, own);
    views.put(own.version(), this.own);
    for (Carried each : carried) if (each.newer) put(each, own);
    otherwise = fallback == null ? views.values().iterator().next() : find(fallback);
  }

  private void put(Carried each, Contract own) {
    views.put(each.contract.version(), new View(each.contract, new Adapter(each.contract, own, each.newer)));
  }

  /** The model's own contract. */
  public View own() {
    return own;
  }

  /** What a caller that names no version is answered under. */
  public View otherwise() {
    return otherwise;
  }

  /** The view of a version, {@code VERSION} or {@code NAME@VERSION}; throws {@link ProtocolException}. */
  public View find(String asked) {
    View found = views.get(asked);
    if (found != null) return found;
    for (View view : views.values()) if (view.name().equals(asked)) return view;
    String version = Text.named(Text.firstPoints(asked, 64));
    String message = "model " + Text.named(model) + " is not served under version " + version + " of its contract";
    throw new ProtocolException("contract_unsupported", message, "versions: " + String.join(", ", views.keySet()));
  }
}
