package io.fivefold.runtime;

import io.fivefold.contract.BundleInvalidException;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.NoSuchAlgorithmException;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Locale;

/**
 * Which bundle.json an app believes: the one of a digest, the one that a publisher's key has signed, both, or any.
 *
 * With neither, a file that is sound is taken as it came: by the same way as the app, for one. Its seal shows an
 * accident, and no intent.
 */
public final class Trust {
  static final String SIGNATURE = "bundle.sig";

  private final String digest;
  private final byte[] key;

  private Trust(String digest, byte[] key) {
    this.digest = digest;
    this.key = key;
  }

  /** Take what comes. */
  public static Trust anyone() {
    return new Trust(null, null);
  }

  /** Take the bundle.json of this sha256, in hexadecimal. */
  public static Trust digest(String sha256) {
    return new Trust(sha256.toLowerCase(Locale.ROOT), null);
  }

  /**
   * Take what this Ed25519 key has signed; {@code key} is its SubjectPublicKeyInfo in DER. Java 15 and Android 13 know
   * such keys; an older one refuses every bundle.
   */
  public static Trust publisher(byte[] key) {
    return new Trust(null, key.clone());
  }

  /** The same, of this digest too. */
  public Trust and(Trust other) {
    return new Trust(digest == null ? other.digest : digest, key == null ? other.key : key);
  }

  boolean signed() {
    return key != null;
  }

  void checkDigest(String got) {
    if (digest != null && !got.equals(digest)) throw Manifest.refused("expected sha256 " + digest + ", got " + got);
  }

  void checkSignature(byte[] manifest, byte[] signature) {
    boolean made;
    try {
      PublicKey trusted = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(key));
      Signature check = Signature.getInstance("Ed25519");
      check.initVerify(trusted);
      check.update(manifest);
      made = check.verify(signature);
    } catch (NoSuchAlgorithmException error) {
      String help = "Java 15 and Android 13 can; or trust a digest";
      throw new BundleInvalidException("this device cannot verify Ed25519 signatures", SIGNATURE, help);
    } catch (GeneralSecurityException error) {
      // A key that is none, or a signature of another length.
      made = false;
    }
    if (!made) {
      String message = "the trusted key did not make this signature of " + Manifest.FILE;
      throw new BundleInvalidException(message, SIGNATURE, null);
    }
  }
}
