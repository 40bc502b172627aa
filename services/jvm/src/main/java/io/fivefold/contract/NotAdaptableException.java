package io.fivefold.contract;

import java.util.Collections;
import java.util.List;

/** The model cannot answer every caller of that contract version. */
public final class NotAdaptableException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  private final transient List<String> reasons;

  NotAdaptableException(List<String> reasons) {
    super("bundle_invalid", String.join("; ", reasons), "", null);
    this.reasons = Collections.unmodifiableList(reasons);
  }

  /** A sentence for each field at fault. */
  public List<String> reasons() {
    return reasons;
  }
}
