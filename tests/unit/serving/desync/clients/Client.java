import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Asks as HttpClient does by itself, which offers h2c with the first request of every connection. */
public class Client {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int x = 101; x <= 120; x++) {
            String body = "{\"instances\": [{\"x\": " + x + "}]}";
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(words[0]));
            var sent = x % 2 == 0 ? BodyPublishers.ofString(body)
                : BodyPublishers.fromPublisher(BodyPublishers.ofString(body));
            var answer = client.send(request.POST(sent).build(), BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
