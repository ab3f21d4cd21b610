package catchment.sink;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;

/** Messages as lines of gzipped JSON in S3, told by the keys that Aiven's connector has, as far as it takes them. */
public class S3Lines extends SinkConnector {
  static final ConfigDef KEYS =
      new ConfigDef()
          .define("aws.s3.bucket.name", Type.STRING, Importance.HIGH, "")
          .define("aws.s3.endpoint", Type.STRING, Importance.HIGH, "")
          .define("aws.s3.region", Type.STRING, "us-east-1", Importance.LOW, "")
          .define("aws.access.key.id", Type.STRING, Importance.HIGH, "")
          .define("aws.secret.access.key", Type.PASSWORD, Importance.HIGH, "")
          .define("file.name.template", Type.STRING, Importance.HIGH, "")
          .define("file.max.records", Type.INT, 0, Importance.MEDIUM, "")
          .define("format.output.type", Type.STRING, "jsonl", Importance.LOW, "")
          .define("format.output.fields", Type.LIST, "value", Importance.MEDIUM, "")
          .define("tests.fail.with", Type.STRING, "", Importance.LOW, "A task that reads this text fails.");

  private Map<String, String> told;

  @Override
  public void start(Map<String, String> told) {
    this.told = told;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return S3LinesTask.class;
  }

  @Override
  public List<Map<String, String>> taskConfigs(int most) {
    return Collections.nCopies(most, told);
  }

  @Override
  public void stop() {}

  @Override
  public ConfigDef config() {
    return KEYS;
  }

  @Override
  public String version() {
    return "1";
  }
}
