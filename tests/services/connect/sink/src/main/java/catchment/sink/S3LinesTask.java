package catchment.sink;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/**
 * What came since the last flush is kept in memory and stored when Connect wants to commit offsets: at least once. After
 * a kill the same offset begins an object of another length, as it does with connectors that close objects by time.
 */
public class S3LinesTask extends SinkTask {
  private final ObjectMapper mapper = new ObjectMapper();
  private final JsonConverter converter = new JsonConverter();
  private final Map<TopicPartition, List<SinkRecord>> waiting = new HashMap<>();
  private AbstractConfig told;
  private S3Client client;

  @Override
  public void start(Map<String, String> given) {
    told = new AbstractConfig(S3Lines.KEYS, given);
    converter.configure(Map.of("schemas.enable", "false"), false);
    String secret = told.getPassword("aws.secret.access.key").value();
    client =
        S3Client.builder()
            .endpointOverride(URI.create(told.getString("aws.s3.endpoint")))
            .region(Region.of(told.getString("aws.s3.region")))
            .forcePathStyle(true)
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .credentialsProvider(
                StaticCredentialsProvider.create(
                    AwsBasicCredentials.create(told.getString("aws.access.key.id"), secret)))
            .build();
  }

  @Override
  public void put(Collection<SinkRecord> records) {
    String poison = told.getString("tests.fail.with");
    for (SinkRecord record : records) {
      if (!poison.isEmpty() && String.valueOf(record.key() == null ? "" : text(record.key())).equals(poison)) {
        throw new ConnectException("a message with key " + poison);
      }
      TopicPartition place = new TopicPartition(record.topic(), record.kafkaPartition());
      waiting.computeIfAbsent(place, ignored -> new ArrayList<>()).add(record);
    }
  }

  private static String text(Object key) {
    return key instanceof byte[] bytes ? new String(bytes) : key.toString();
  }

  @Override
  public Map<TopicPartition, OffsetAndMetadata> preCommit(Map<TopicPartition, OffsetAndMetadata> current) {
    try {
      for (Map.Entry<TopicPartition, List<SinkRecord>> one : waiting.entrySet()) {
        store(one.getKey(), one.getValue());
      }
    } catch (IOException error) {
      throw new ConnectException(error);
    } finally {
      waiting.clear(); // after a failure Connect begins again at what is committed
    }
    return current;
  }

  private void store(TopicPartition place, List<SinkRecord> records) throws IOException {
    int most = told.getInt("file.max.records") > 0 ? told.getInt("file.max.records") : records.size();
    for (int begin = 0; begin < records.size(); begin += most) {
      List<SinkRecord> some = records.subList(begin, Math.min(begin + most, records.size()));
      String key =
          told.getString("file.name.template")
              .replace("{{topic}}", place.topic())
              .replace("{{partition}}", String.valueOf(place.partition()))
              .replace("{{start_offset:padding=true}}", String.format("%020d", some.get(0).kafkaOffset()));
      client.putObject(
          request -> request.bucket(told.getString("aws.s3.bucket.name")).key(key), RequestBody.fromBytes(lines(some)));
    }
  }

  private byte[] lines(List<SinkRecord> records) throws IOException {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
      for (SinkRecord record : records) {
        ObjectNode line = mapper.createObjectNode();
        for (String field : told.getList("format.output.fields")) {
          boolean isKey = field.equals("key");
          Object value = isKey ? record.key() : record.value();
          Schema schema = isKey ? record.keySchema() : record.valueSchema();
          line.set(
              field, value == null ? null : mapper.readTree(converter.fromConnectData(record.topic(), schema, value)));
        }
        out.write(mapper.writeValueAsBytes(line));
        out.write('\n');
      }
    }
    return packed.toByteArray();
  }

  @Override
  public void close(Collection<TopicPartition> places) {
    waiting.keySet().removeAll(places);
  }

  @Override
  public void stop() {
    if (client != null) {
      client.close();
    }
  }

  @Override
  public String version() {
    return "1";
  }
}
