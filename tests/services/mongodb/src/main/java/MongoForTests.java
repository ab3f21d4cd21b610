import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.exception.MongoServerException;
import de.bwaldvogel.mongo.oplog.Oplog;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.Set;
import org.h2.mvstore.MVStore;

/**
 * A server that speaks MongoDB's wire protocol, on 127.0.0.1, with its data in one file: {@code MongoForTests PORT FILE}.
 *
 * <p>What was answered is on disk, so that it survives {@code kill -9}. With OPLOG=1 in the environment it keeps a
 * log of changes ({@link ChangeLog}), without one it answers as a server alone: no change streams.
 */
public final class MongoForTests {
  private static final Set<String> WRITES =
      Set.of(
          "insert", "update", "delete", "findAndModify", "findandmodify", "create", "createIndexes", "drop",
          "dropDatabase", "renameCollection");

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

  /** Commits after each write, and tells each answer the time of the last operation. */
  private static final class Backend extends H2Backend {
    private final MVStore store;
    private ChangeLog changes;

    Backend(MVStore store) {
      super(store);
      this.store = store;
    }

    @Override
    protected Oplog createOplog() {
      changes = new ChangeLog(store, this::resolveDatabase);
      return changes;
    }

    @Override
    public Document handleMessage(MongoMessage message) {
      try {
        return answer(message);
      } catch (MongoServerException told) {
        throw told;
      } catch (RuntimeException bug) {
        bug.printStackTrace();
        throw bug;
      }
    }

    private Document answer(MongoMessage message) {
      Document command = message.getDocument();
      String verb = command.keySet().iterator().next();
      if (changes == null) {
        return withoutChanges(message, command, verb);
      }
      Document answer = verb.equals("forgetChanges") ? forgotten() : answered(message, command, verb);
      answer.put("operationTime", changes.now());
      return answer;
    }

    private Document withoutChanges(MongoMessage message, Document command, String verb) {
      if (verb.equals("aggregate") && String.valueOf(command.get("pipeline")).contains("$changeStream")) {
        String text = "The $changeStream stage is only supported on replica sets";
        throw new MongoServerError(40573, "Location40573", text);
      }
      Document answer = super.handleMessage(message);
      if (WRITES.contains(verb)) {
        store.commit();
      }
      return answer;
    }

    private Document answered(MongoMessage message, Document command, String verb) {
      if (changes.isMeant(command)) {
        try {
          return changes.answer(message.getDatabaseName(), command);
        } catch (InterruptedException interrupted) {
          throw new MongoServerError(11601, "Interrupted", "operation was interrupted");
        }
      }
      if (verb.equals("killCursors")) {
        changes.close((List<?>) command.get("cursors"));
      }
      return WRITES.contains(verb) ? written(message, command, verb) : super.handleMessage(message);
    }

    /** One write at a time, so that the log has them in the order in which they were done. */
    private synchronized Document written(MongoMessage message, Document command, String verb) {
      Document answer = super.handleMessage(message);
      if (verb.equals("renameCollection")) {
        changes.handleRename((String) command.get("renameCollection"), (String) command.get("to"));
      } else if (verb.equals("dropDatabase")) {
        changes.handleDropDatabase(message.getDatabaseName());
      }
      store.commit();
      return answer;
    }

    private Document forgotten() {
      changes.forget();
      store.commit();
      return new Document("ok", 1.0);
    }
  }

  public static void main(String[] arguments) throws InterruptedException {
    Backend backend = new Backend(new MVStore.Builder().fileName(arguments[1]).autoCommitDisabled().open());
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
