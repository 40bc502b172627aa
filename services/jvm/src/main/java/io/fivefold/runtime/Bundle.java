package io.fivefold.runtime;

import io.fivefold.contract.BundleInvalidException;
import io.fivefold.contract.Contract;
import io.fivefold.contract.View;
import io.fivefold.contract.Views;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A bundle whose files were held against bundle.json, and bundle.json against who is trusted: nothing else is ever run.
 */
public final class Bundle {
  static final String MODEL = "model.onnx";
  static final String GOLDEN = "golden.jsonl";
  private static final String CONTRACT = "contract.json";
  private static final String SEAL = ",\n  \"seal\": \"";
  private static final String END = "\"\n}\n";
  private static final int DIGITS = 64;

  /** Reads one file of a bundle by its name, such as {@code contracts/1.0.0.json}. */
  public interface Files {
    byte[] read(String name) throws IOException;
  }

  private final String digest;
  private final Contract contract;
  private final Views views;
  final Manifest manifest;
  private final Map<String, byte[]> files;

  private Bundle(String digest, Manifest manifest, Map<String, byte[]> files) {
    this.digest = digest;
    this.manifest = manifest;
    this.files = files;
    contract = Contract.parse(file(CONTRACT));
    List<Views.Carried> carried = new ArrayList<>();
    for (Manifest.Version each : manifest.contracts) {
      carried.add(new Views.Carried(Contract.parse(file("contracts/" + each.version + ".json")), each.newer));
    }
    String fallback = manifest.defaultContract == null ? contract.version() : manifest.defaultContract;
    views = new Views(manifest.name, contract, carried, fallback);
  }

  /** Open the directory of an export, as {@link #open(Files, Trust)} does. */
  public static Bundle open(File directory, Trust trust) throws IOException {
    return open(
        name -> {
          try (InputStream in = new FileInputStream(new File(directory, name))) {
            return readAll(in);
          }
        },
        trust);
  }

  /**
   * Open a bundle, an app's assets for one: {@code Bundle.open(name -> Bundle.readAll(assets.open("demo/" + name)),
   * Trust.digest("3222…"))}. Throws {@link BundleInvalidException} with the file that is another, or that is missing.
   */
  public static Bundle open(Files source, Trust trust) throws IOException {
    Map<String, byte[]> files = new HashMap<>();
    byte[] raw = read(source, Manifest.FILE);
    String got = sha256(raw);
    trust.checkDigest(got);
    if (trust.signed()) trust.checkSignature(raw, signature(source));
    if (!sealed(raw)) throw Manifest.refused("seal: the file was changed after it was packed");
    Manifest manifest = new Manifest(text(raw, Manifest.FILE));
    for (Manifest.Entry entry : manifest.files) {
      byte[] bytes = read(source, entry.path);
      if (bytes.length != entry.bytes) {
        throw new BundleInvalidException("expected " + entry.bytes + " bytes, got " + bytes.length, entry.path, null);
      }
      String sha256 = sha256(bytes);
      if (!sha256.equals(entry.sha256)) {
        throw new BundleInvalidException("expected sha256 " + entry.sha256 + ", got " + sha256, entry.path, null);
      }
      files.put(entry.path, bytes);
    }
    return new Bundle(got, manifest, files);
  }

  private static byte[] signature(Files source) throws IOException {
    try {
      return source.read(Trust.SIGNATURE);
    } catch (FileNotFoundException error) {
      String message = "the bundle is not signed, and this app asks for a signature";
      throw new BundleInvalidException(message, Trust.SIGNATURE, null);
    }
  }

  /** Whether bundle.json ends with the sha256 of every byte before it, as the packer writes it. */
  private static boolean sealed(byte[] raw) {
    int head = raw.length - (SEAL.length() + DIGITS + END.length());
    if (head < 0) return false;
    byte[] tail = (SEAL + sha256(Arrays.copyOf(raw, head)) + END).getBytes(StandardCharsets.UTF_8);
    return Arrays.equals(tail, Arrays.copyOfRange(raw, head, raw.length));
  }

  /** All that a stream holds; the stream is left open. */
  public static byte[] readAll(InputStream in) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    byte[] some = new byte[65536];
    for (int count; (count = in.read(some)) >= 0; ) out.write(some, 0, count);
    return out.toByteArray();
  }

  public String name() {
    return manifest.name;
  }

  public String version() {
    return manifest.version;
  }

  /** The sha256 of bundle.json in hexadecimal, which has that of every other file. */
  public String digest() {
    return digest;
  }

  /** The model's own contract. */
  public Contract contract() {
    return contract;
  }

  /** The model under its own contract and under the versions that the bundle carries. */
  public Views views() {
    return views;
  }

  /** What a caller that names no version is answered under. */
  public View view() {
    return views.otherwise();
  }

  byte[] file(String name) {
    byte[] found = files.get(name);
    if (found == null) throw missing(name);
    return found;
  }

  String text(String name) {
    return text(file(name), name);
  }

  private static String text(byte[] raw, String name) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(raw)).toString();
    } catch (CharacterCodingException error) {
      throw new BundleInvalidException("expected UTF-8", name, null);
    }
  }

  private static byte[] read(Files source, String name) throws IOException {
    try {
      return source.read(name);
    } catch (FileNotFoundException error) {
      throw missing(name);
    }
  }

  private static BundleInvalidException missing(String name) {
    return new BundleInvalidException("the bundle has no such file", name, null);
  }

  private static String sha256(byte[] bytes) {
    byte[] digest;
    try {
      digest = MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
    StringBuilder out = new StringBuilder();
    for (byte each : digest) {
      out.append(Character.forDigit((each >> 4) & 15, 16)).append(Character.forDigit(each & 15, 16));
    }
    return out.toString();
  }
}
