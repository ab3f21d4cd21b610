import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import org.h2.mvstore.MVStore;

/**
 * A server that speaks MongoDB's wire protocol, on 127.0.0.1, with its data in one file: {@code MongoForTests PORT FILE}.
 *
 * <p>What was answered is on disk, so that it survives {@code kill -9}. With OPLOG=1 in the environment it keeps an
 * oplog, for change streams.
 */
public final class MongoForTests {
  private static final Set<String> WRITES =
      Set.of(
          "insert", "update", "delete", "findAndModify", "findandmodify", "create", "createIndexes", "drop",
          "dropDatabase");

  /** MongoDB 4.4, the least that PyMongo accepts; the library itself reports 3.6 or so. */
  private static final class Version44 implements MongoVersion {
    @Override
    public List<Integer> getVersionArray() {
      return List.of(4, 4, 0);
    }

    @Override
    public int getWireVersion() {
      return 9;
    }

    @Override
    public String toVersionString() {
      return "4.4.0";
    }
  }

  /** Commits after each write, and tells change streams the time of an operation. */
  private static MongoBackend backend(MVStore store) {
    return new H2Backend(store) {
      @Override
      public Document handleMessage(MongoMessage message) {
        Document answer = super.handleMessage(message);
        if (message.getDocument().containsKey("aggregate")) {
          answer.putIfAbsent("operationTime", new BsonTimestamp(Instant.now(), 1));
        }
        if (WRITES.contains(message.getDocument().keySet().iterator().next())) {
          store.commit();
        }
        return answer;
      }
    };
  }

  public static void main(String[] arguments) throws InterruptedException {
    MongoBackend backend = backend(new MVStore.Builder().fileName(arguments[1]).open());
    backend.version(new Version44());
    if (System.getenv("OPLOG") != null) {
      backend.enableOplog();
    }
    MongoServer server = new MongoServer(backend);
    server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    Thread.currentThread().join();
  }

  private MongoForTests() {}
}
