import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.DefaultQueryMatcher;
import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.oplog.Oplog;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;

/**
 * Change streams over one database or collection, as MongoDB documents them: the library's own tell no namespace, a
 * wrong key for updates and no token between events, and look through all of the log for each batch.
 *
 * <p>What happened lies in the data's own file under its time, which is never told twice. {@link #forget} is the end of
 * a log that has become too long. Transactions and images of what was before there are not.
 */
final class ChangeLog implements Oplog {
  // A token: MongoDB's own begin with 82 and the time as well.
  private static final String AFTER_ALL = "00";
  private static final String EVENT = "01";
  private static final String INVALIDATE = "02";

  // Not as long as a reader asks for: the thread that waits answers others too.
  private static final long WAIT_MS = 20;

  private final MVMap<Long, Document> events;
  private final MVMap<String, Long> bounds;
  private final Function<String, MongoDatabase> databases;
  private final Map<Long, Reader> readers = new ConcurrentHashMap<>();
  // Another one after each start, so that no old cursor is taken for a new one.
  private final AtomicLong ids = new AtomicLong(System.nanoTime() | (1L << 62));
  private long last;

  ChangeLog(MVStore store, Function<String, MongoDatabase> databases) {
    this.events = store.openMap("catchment.changes");
    this.bounds = store.openMap("catchment.bounds");
    this.databases = databases;
    this.last = Math.max(bounds.getOrDefault("last", 0L), new BsonTimestamp(Instant.now(), 0).getValue());
  }

  synchronized BsonTimestamp now() {
    return new BsonTimestamp(last);
  }

  private synchronized void add(String namespace, String operation, Object id, Document document, Document more) {
    Instant wall = Instant.now();
    last = Math.max(last + 1, new BsonTimestamp(wall, 1).getValue());
    int dot = namespace.indexOf('.');
    Document place = new Document("db", dot < 0 ? namespace : namespace.substring(0, dot));
    if (dot >= 0) {
      place.append("coll", namespace.substring(dot + 1));
    }
    Document event =
        new Document("operationType", operation)
            .append("clusterTime", new BsonTimestamp(last))
            .append("wallTime", wall.truncatedTo(java.time.temporal.ChronoUnit.MILLIS))
            .append("ns", place);
    if (id != null) {
      event.append("documentKey", new Document("_id", id));
    }
    if (document != null) {
      event.append("fullDocument", document.cloneDeeply());
    }
    if (more != null) {
      event.appendAll(more);
    }
    events.put(last, event);
    bounds.put("last", last);
    notifyAll();
  }

  /** Forget everything up to now. */
  synchronized void forget() {
    events.clear();
    bounds.put("forgotten", last);
  }

  @Override
  public void handleInsert(String namespace, List<Document> documents) {
    documents.forEach(one -> add(namespace, "insert", one.get("_id"), one, null));
  }

  @Override
  public void handleUpdate(String namespace, Document selector, Document update, List<Object> ids) {
    boolean isUpdate = update.keySet().stream().anyMatch(name -> name.startsWith("$"));
    for (Object id : ids) {
      if (isUpdate) {
        Document described = new Document("updatedFields", update.getOrDefault("$set", new Document()));
        add(namespace, "update", id, null, new Document("updateDescription", described));
      } else {
        Document whole = new Document("_id", id);
        update.entrySet().stream()
            .filter(entry -> !entry.getKey().equals("_id"))
            .forEach(entry -> whole.append(entry.getKey(), entry.getValue()));
        add(namespace, "replace", id, whole, null);
      }
    }
  }

  @Override
  public void handleDelete(String namespace, Document query, List<Object> ids) {
    ids.forEach(id -> add(namespace, "delete", id, null, null));
  }

  @Override
  public void handleDropCollection(String namespace) {
    add(namespace, "drop", null, null, null);
  }

  void handleRename(String from, String to) {
    int dot = to.indexOf('.');
    Document place = new Document("db", to.substring(0, dot)).append("coll", to.substring(dot + 1));
    add(from, "rename", null, null, new Document("to", place));
  }

  void handleDropDatabase(String database) {
    add(database, "dropDatabase", null, null, null);
  }

  @Override
  public Cursor createCursor(Document changeStream, String namespace, Aggregation aggregation) {
    throw new MongoServerError(40415, "BSONField", "answered before the library is asked");
  }

  /** Whether a command is one for a change stream; {@link #answer} answers it. */
  boolean isMeant(Document command) {
    if (command.get("getMore") instanceof Number id) {
      return readers.containsKey(id.longValue());
    }
    return command.containsKey("aggregate") && stages(command).stream().anyMatch(one -> one.containsKey("$changeStream"));
  }

  Document answer(String database, Document command) throws InterruptedException {
    if (command.containsKey("aggregate")) {
      Reader reader = new Reader(database, command);
      readers.put(reader.id, reader);
      return reader.answer("firstBatch", cursorOf(command), 0);
    }
    long wait = command.get("maxTimeMS") instanceof Number most ? most.longValue() : 1000;
    return readers.get(((Number) command.get("getMore")).longValue()).answer("nextBatch", command, wait);
  }

  void close(List<?> ids) {
    ids.forEach(id -> readers.remove(((Number) id).longValue()));
  }

  @SuppressWarnings("unchecked")
  private static List<Document> stages(Document command) {
    return command.get("pipeline") instanceof List<?> found ? (List<Document>) found : List.of();
  }

  private static Document cursorOf(Document command) {
    return command.get("cursor") instanceof Document found ? found : new Document();
  }

  private static String token(long at, String kind) {
    return "82%016X%s".formatted(at, kind);
  }

  /** Follows the log for one client. */
  private final class Reader {
    private final long id = ids.incrementAndGet();
    private final String database;
    private final Object collection;
    private final List<Document> pipeline;
    private final boolean looksUp;
    private long at;
    private boolean isInvalid;

    Reader(String database, Document command) {
      this.database = database;
      this.collection = command.get("aggregate") instanceof String name ? name : null;
      this.pipeline = stages(command).subList(1, stages(command).size());
      Document asked = (Document) stages(command).get(0).get("$changeStream");
      this.looksUp = "updateLookup".equals(asked.get("fullDocument"));
      this.at = begin(asked);
    }

    private long begin(Document asked) {
      long forgotten = bounds.getOrDefault("forgotten", 0L);
      if (asked.get("startAtOperationTime") instanceof BsonTimestamp time) {
        return notLost(time.getValue() - 1, forgotten);
      }
      boolean isStart = asked.containsKey("startAfter");
      Object told = isStart ? asked.get("startAfter") : asked.get("resumeAfter");
      if (!(told instanceof Document token)) {
        return now().getValue();
      }
      String data = String.valueOf(token.get("_data"));
      if (!data.matches("82[0-9A-F]{16}0[012]")) {
        throw new MongoServerError(260, "InvalidResumeToken", "Bad resume token: " + data);
      }
      if (data.endsWith(INVALIDATE) && !isStart) {
        String message = "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate event";
        throw new MongoServerError(260, "InvalidResumeToken", message);
      }
      long time = notLost(Long.parseLong(data.substring(2, 18), 16), forgotten);
      Document event = events.get(time);
      // Stricter than MongoDB may be: the event that a token names must be one that the stream gives.
      if (data.endsWith(EVENT) && (event == null || !matches(event))) {
        String message = "cannot resume stream; the resume token was not found. {_data: \"" + data + "\"}";
        throw new MongoServerError(280, "ChangeStreamFatalError", message);
      }
      return time;
    }

    private long notLost(long time, long forgotten) {
      if (time < forgotten) {
        String message =
            "Resume of change stream was not possible, as the resume point may no longer be in the oplog.";
        throw new MongoServerError(286, "ChangeStreamHistoryLost", message);
      }
      return time;
    }

    private boolean matches(Document event) {
      Document place = (Document) event.get("ns");
      boolean isHere = database.equals(place.get("db"));
      boolean isMine = collection == null || collection.equals(place.get("coll"));
      return isHere
          && isMine
          && pipeline.stream()
              .filter(stage -> stage.containsKey("$match"))
              .allMatch(stage -> new DefaultQueryMatcher().matches(event, (Document) stage.get("$match")));
    }

    Document answer(String name, Document asked, long wait) throws InterruptedException {
      int most = asked.get("batchSize") instanceof Number size && size.intValue() > 0 ? size.intValue() : 101;
      List<Document> found = new ArrayList<>();
      String after;
      synchronized (ChangeLog.this) {
        if (wait > 0 && at >= last && !isInvalid) {
          ChangeLog.this.wait(Math.min(wait, WAIT_MS));
        }
        if (at < bounds.getOrDefault("forgotten", 0L)) {
          throw new MongoServerError(136, "CappedPositionLost", "CollectionScan died due to position in capped being deleted");
        }
        if (isInvalid) {
          throw new MongoServerError(43, "CursorNotFound", "cursor id " + id + " not found");
        }
        take(found, most);
        after = token(at, isInvalid ? INVALIDATE : AFTER_ALL);
      }
      // Not under the log's lock: a writer has its collection's, and waits for the log's.
      found.replaceAll(this::told);
      Document cursor =
          new Document("id", isInvalid ? 0L : id)
              .append("ns", database + "." + (collection == null ? "$cmd.aggregate" : collection))
              .append(name, found)
              .append("postBatchResumeToken", new Document("_data", after));
      return new Document("cursor", cursor).append("ok", 1.0);
    }

    private void take(List<Document> found, int most) {
      Long next = events.higherKey(at);
      while (next != null && found.size() < most && !isInvalid) {
        at = next;
        Document event = events.get(next);
        if (matches(event)) {
          Document copy = new Document("_id", new Document("_data", token(at, EVENT)));
          found.add(copy.appendAll(event.cloneDeeply()));
        }
        if ("dropDatabase".equals(event.get("operationType"))
            && database.equals(((Document) event.get("ns")).get("db"))) {
          isInvalid = true;
          found.add(
              new Document("_id", new Document("_data", token(at, INVALIDATE)))
                  .append("operationType", "invalidate")
                  .append("clusterTime", event.get("clusterTime")));
        }
        next = events.higherKey(at);
      }
      if (next == null) {
        at = Math.max(at, last);
      }
    }

    private Document told(Document event) {
      if ("update".equals(event.get("operationType")) && looksUp) {
        event.append("fullDocument", current(event));
      }
      pipeline.stream()
          .filter(stage -> stage.containsKey("$project"))
          .forEach(stage -> ((Document) stage.get("$project")).keySet().forEach(event::remove));
      return event;
    }

    /** The document as it is now, null where it is gone. */
    private Document current(Document event) {
      String name = (String) ((Document) event.get("ns")).get("coll");
      MongoCollection<?> found = databases.apply(database).resolveCollection(name, false);
      if (found == null) {
        return null;
      }
      return found.handleQueryAsStream((Document) event.get("documentKey")).findFirst().orElse(null);
    }
  }
}
