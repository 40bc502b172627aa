package io.fivefold.command;

import io.fivefold.contract.ContractException;
import io.fivefold.contract.FivefoldException;
import io.fivefold.contract.Limits;
import io.fivefold.contract.NotRunnableException;
import io.fivefold.contract.Request;
import io.fivefold.contract.View;
import io.fivefold.runtime.Bundle;
import io.fivefold.runtime.Scorer;
import io.fivefold.runtime.Trust;
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/** The jar's commands: a bundle asked from a shell, and contracts asked by tests. */
public final class Main {
  private static final int USAGE = 2;
  private static final int DATA = 3;
  private static final int NOT_RUNNABLE = 4;

  private static final String HELP =
      String.join(
          "\n",
          "usage: java -jar fivefold.jar score BUNDLE [OPTIONS] < records.jsonl",
          "       java -jar fivefold.jar questions < questions.jsonl",
          "",
          "score      a record a line (JSON), an answer a line: {\"answer\": …} or {\"error\": …}, each record alone",
          "questions  what contracts make of bodies, for tests:",
          "           {\"ask\": \"records\", \"contract\": BASE64, \"body\": BASE64}",
          "",
          "  --digest SHA256     the sha256 that bundle.json must have",
          "  --public-key FILE   the PEM of the Ed25519 key that must have signed it",
          "  --contract VERSION  the contract version of the records (default: the bundle's)",
          "",
          "examples:",
          "  java -jar fivefold.jar score exported < records.jsonl",
          "  java -jar fivefold.jar score exported --public-key release.pub.pem --contract 1.0.0 < records.jsonl",
          "",
          "exit status: 0 all lines were answered, 2 usage, 3 the bundle is refused,",
          "4 it is whole and cannot run here");

  private Main() {}

  public static void main(String[] arguments) throws IOException {
    System.exit(run(Arrays.asList(arguments)));
  }

  private static int run(List<String> arguments) throws IOException {
    PrintStream errors = new PrintStream(System.err, true, "UTF-8");
    if (arguments.contains("--help") || arguments.contains("-h")) {
      System.out.println(HELP);
      return 0;
    }
    BufferedInputStream in = new BufferedInputStream(System.in, 65536);
    BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
    if (arguments.equals(Arrays.asList("questions"))) {
      new Questions().answer(new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8)), out);
      return 0;
    }
    String digest = option(arguments, "--digest");
    String version = option(arguments, "--contract");
    String key = option(arguments, "--public-key");
    int options = (digest == null ? 0 : 2) + (version == null ? 0 : 2) + (key == null ? 0 : 2);
    if (arguments.size() != 2 + options || !arguments.get(0).equals("score")) {
      errors.println("error: expected score BUNDLE\nhelp: java -jar fivefold.jar --help");
      return USAGE;
    }
    Trust trust = digest == null ? Trust.anyone() : Trust.digest(digest);
    try {
      if (key != null) trust = trust.and(Trust.publisher(pem(new File(key))));
    } catch (IllegalArgumentException | IOException error) {
      errors.println("error: " + error.getMessage() + "\nhelp: java -jar fivefold.jar --help");
      return USAGE;
    }
    try {
      score(Bundle.open(new File(arguments.get(1)), trust), version, in, out);
      return 0;
    } catch (FivefoldException error) {
      int status = error instanceof NotRunnableException ? NOT_RUNNABLE : DATA;
      String where = error.path().isEmpty() ? "" : error.path() + ": ";
      errors.println("error: " + where + error.getMessage() + (error.help() == null ? "" : "\nhelp: " + error.help()));
      return status;
    }
  }

  private static String option(List<String> arguments, String name) {
    int at = arguments.indexOf(name);
    return at < 2 || at + 1 >= arguments.size() ? null : arguments.get(at + 1);
  }

  /** What stands between the lines of a PEM; throws IllegalArgumentException for none. */
  private static byte[] pem(File file) throws IOException {
    try (InputStream in = new FileInputStream(file)) {
      String text = new String(Bundle.readAll(in), StandardCharsets.UTF_8);
      if (!text.contains("-----BEGIN PUBLIC KEY-----")) {
        throw new IllegalArgumentException(file + ": no PEM of a public key");
      }
      return Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", ""));
    }
  }

  private static void score(Bundle bundle, String version, InputStream in, BufferedWriter out) throws IOException {
    View view = version == null ? bundle.view() : bundle.views().find(version);
    try (Scorer scorer = Scorer.open(bundle)) {
      for (byte[] line; (line = line(in)) != null; ) {
        String answer;
        try {
          answer = "{\"answer\":" + scorer.answer(record(line, view), view) + "}";
        } catch (FivefoldException error) {
          answer = "{\"error\":" + error.toJson() + "}";
        }
        out.write(answer + "\n");
        if (in.available() == 0) out.flush();
      }
      out.flush();
    }
  }

  private static Request record(byte[] line, View view) {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    write(body, "{\"instances\":[".getBytes(StandardCharsets.UTF_8));
    write(body, line);
    write(body, "]}".getBytes(StandardCharsets.UTF_8));
    Request request = view.contract().read(body.toByteArray(), Limits.NONE);
    int rows = request.columns().rows();
    if (rows == 1) return request;
    throw new ContractException("malformed", "expected one record a line, got " + rows, "", null);
  }

  private static void write(ByteArrayOutputStream out, byte[] bytes) {
    out.write(bytes, 0, bytes.length);
  }

  /** The bytes before the next line feed, or before the end; null at the end. */
  private static byte[] line(InputStream in) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int found = in.read();
    if (found < 0) return null;
    for (; found >= 0 && found != '\n'; found = in.read()) out.write(found);
    return out.toByteArray();
  }
}
