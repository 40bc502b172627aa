package io.fivefold.contract;

/** A bundle that must not be used; the path is the file inside it. */
public final class BundleInvalidException extends FivefoldException {
  private static final long serialVersionUID = 1L;

  public BundleInvalidException(String message, String path, String help) {
    super("bundle_invalid", message, path, help);
  }
}
