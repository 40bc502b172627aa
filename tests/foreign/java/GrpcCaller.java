import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Calls of grpc-java over one channel, one for each line of standard input, answered by one line each.
 *
 * <p>A line is METHOD, message in Base64, milliseconds until the deadline (0: none), "gzip" or nothing, and headers as
 * NAME=VALUE, separated by tabs; the value of a header whose name ends in -bin is Base64. The answer is the status, its
 * sentence in Base64, the messages in Base64 separated by commas, and headers and trailers as NAME=VALUE separated by tabs,
 * each with "h:" or "t:" before it. Messages are bytes: what is in them is the caller's.
 */
public final class GrpcCaller {
  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        }
      };

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel =
        NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().maxInboundMessageSize(64 << 20).build();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(call(channel, line.split("\t", -1)));
    }
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private static String call(Channel channel, String[] words) {
    boolean streaming = words[0].contains("Stream");
    MethodDescriptor<byte[], byte[]> method =
        MethodDescriptor.newBuilder(BYTES, BYTES)
            .setFullMethodName(words[0])
            .setType(streaming ? MethodType.SERVER_STREAMING : MethodType.UNARY)
            .build();
    CallOptions options = CallOptions.DEFAULT;
    long milliseconds = Long.parseLong(words[2]);
    if (milliseconds > 0) {
      options = options.withDeadlineAfter(milliseconds, TimeUnit.MILLISECONDS);
    }
    if (!words[3].isEmpty()) {
      options = options.withCompression(words[3]);
    }
    AtomicReference<Metadata> headers = new AtomicReference<>();
    AtomicReference<Metadata> trailers = new AtomicReference<>();
    Channel told =
        ClientInterceptors.intercept(
            channel,
            MetadataUtils.newAttachHeadersInterceptor(metadata(words)),
            MetadataUtils.newCaptureMetadataInterceptor(headers, trailers));
    List<String> messages = new ArrayList<>();
    Status status = Status.OK;
    try {
      Iterator<byte[]> answers =
          streaming
              ? ClientCalls.blockingServerStreamingCall(told, method, options, decoded(words[1]))
              : List.of(ClientCalls.blockingUnaryCall(told, method, options, decoded(words[1]))).iterator();
      answers.forEachRemaining(answer -> messages.add(encoded(answer)));
    } catch (StatusRuntimeException error) {
      status = error.getStatus();
      trailers.compareAndSet(null, error.getTrailers());
    }
    String sentence = status.getDescription() == null ? "" : status.getDescription();
    List<String> out = new ArrayList<>();
    out.add(status.getCode().name());
    out.add(encoded(sentence.getBytes(StandardCharsets.UTF_8)));
    out.add(String.join(",", messages));
    read(headers.get()).forEach((name, value) -> out.add("h:" + name + "=" + value));
    read(trailers.get()).forEach((name, value) -> out.add("t:" + name + "=" + value));
    return String.join("\t", out);
  }

  private static Metadata metadata(String[] words) {
    Metadata out = new Metadata();
    for (int at = 4; at < words.length; at++) {
      String name = words[at].substring(0, words[at].indexOf('='));
      String value = words[at].substring(name.length() + 1);
      if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
        out.put(Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER), decoded(value));
      } else {
        out.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
      }
    }
    return out;
  }

  private static Map<String, String> read(Metadata given) {
    Map<String, String> out = new TreeMap<>();
    for (String name : given == null ? List.<String>of() : given.keys()) {
      out.put(
          name,
          name.endsWith(Metadata.BINARY_HEADER_SUFFIX)
              ? encoded(given.get(Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER)))
              : given.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER)));
    }
    return out;
  }

  private static byte[] decoded(String text) {
    return Base64.getDecoder().decode(text);
  }

  private static String encoded(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }
}
