package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Commands that read documents. */
final class ReadCommands {
  private static final long DEFAULT_WAIT_MILLIS = 1000;

  private final ServerState state;
  private final Aggregations aggregations;

  ReadCommands(ServerState state) {
    this.state = state;
    this.aggregations = new Aggregations(state);
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("find", this::find);
    handlers.put("aggregate", aggregations::run);
    handlers.put("getMore", this::getMore);
    handlers.put("killCursors", this::killCursors);
    handlers.put("count", this::count);
    handlers.put("distinct", this::distinct);
    handlers.put("collStats", this::collStats);
    handlers.put("dbStats", this::dbStats);
  }

  /**
   * The collection as the request may read it: a transaction reads its own view, a majority read what is committed.
   * Null when there is none.
   */
  static DocumentCollection readable(ServerState state, CommandRequest request, String name) {
    DocumentCollection collection = state.catalog.find(request.database(), name);
    if (!request.isInTransaction()) {
      return request.readsMajority() ? state.majority.of(collection) : collection;
    }
    state.writeLock.lock();
    try {
      Transaction transaction = state.transactions.of(request);
      return collection == null ? null : transaction.view(collection);
    } finally {
      state.writeLock.unlock();
    }
  }

  private Document find(CommandRequest request) {
    DocumentCollection collection = readable(state, request, request.collection());
    Stream<RawDocument> documents = collection == null ? Stream.empty() : documents(request, collection);
    Iterator<RawDocument> each = documents.iterator();
    DocumentCursor cursor = new DocumentCursor(request.database() + "." + request.collection(), each,
        request.readsMajority());
    int batchSize = (int) request.number("batchSize", OpenCursor.FIRST_BATCH);
    Document reply = state.cursors.firstReply(cursor, batchSize, request.session());
    if (request.flag("singleBatch") && cursor.id != 0) {
      state.cursors.close(cursor.id);
      ((Document) reply.get("cursor")).put("id", 0L);
    }
    return reply;
  }

  private Stream<RawDocument> documents(CommandRequest request, DocumentCollection collection) {
    if (!collection.isView()) {
      return Find.of(request, collection).documents();
    }
    List<Document> stages = new ArrayList<>();
    stages.add(new Document("$match", request.document("filter")));
    return aggregations.documents(request, collection.name(), stages);
  }

  private Document getMore(CommandRequest request) {
    long id = request.number("getMore", 0);
    if (!(request.command().get("collection") instanceof String collection)) {
      throw new CommandError(CommandError.FAILED_TO_PARSE, "Field 'collection' must be of type string");
    }
    long most = request.number("batchSize", Integer.MAX_VALUE);
    if (request.has("batchSize") && most < 0) {
      throw new CommandError(CommandError.BAD_VALUE, "Batch size for getMore must be positive, but received: " + most);
    }
    OpenCursor cursor = state.cursors.take(id, request.database() + "." + collection, request.session(),
        Secondary.serves(state, request.connection()));
    try {
      long wait = request.number("maxTimeMS", 0);
      OpenCursor.Batch batch = cursor.next(most == 0 ? Integer.MAX_VALUE : (int) most,
          wait == 0 ? DEFAULT_WAIT_MILLIS : wait);
      if (batch.exhausted()) {
        state.cursors.close(id);
      }
      Document reply = Cursors.reply("nextBatch", batch, batch.exhausted() ? 0L : id, cursor.namespace);
      return cursor.readsMajority ? state.atMajority(reply) : reply;
    } catch (CommandError e) {
      state.cursors.close(id);
      throw e;
    } finally {
      cursor.inUse.set(false);
    }
  }

  private Document killCursors(CommandRequest request) {
    List<Object> killed = new ArrayList<>();
    List<Object> notFound = new ArrayList<>();
    if (request.command().get("cursors") instanceof List<?> ids) {
      boolean atSecondary = Secondary.serves(state, request.connection());
      ids.forEach(id -> (state.cursors.close(((Number) id).longValue(), atSecondary) ? killed : notFound).add(id));
    }
    return new Document("cursorsKilled", killed)
        .append("cursorsNotFound", notFound)
        .append("cursorsAlive", List.of())
        .append("cursorsUnknown", List.of())
        .append("ok", 1.0);
  }

  private Document count(CommandRequest request) {
    DocumentCollection collection = readable(state, request, request.collection());
    Query query = Query.of(request.document("query"));
    long found = collection == null ? 0
        : query.isEmpty() ? collection.count() : new Find(collection, query).matching().count();
    found = Math.max(0, found - request.number("skip", 0));
    long limit = Math.abs(request.number("limit", 0));
    return new Document("n", (int) (limit > 0 ? Math.min(limit, found) : found)).append("ok", 1.0);
  }

  private Document distinct(CommandRequest request) {
    DocumentCollection collection = readable(state, request, request.collection());
    TreeSet<Object> values = new TreeSet<>(BsonOrder.ASCENDING);
    String key = (String) request.command().get("key");
    if (collection != null) {
      new Find(collection, Query.of(request.document("query"))).matching()
          .forEach(stored -> addValues(Paths.get(stored.raw().decoded(), key), values));
    }
    return new Document("values", values.stream().map(value -> value instanceof Missing ? null : value).toList())
        .append("ok", 1.0);
  }

  private static void addValues(Object value, TreeSet<Object> values) {
    if (value instanceof List<?> list) {
      list.forEach(element -> values.add(BsonOrder.key(element)));
    } else if (!(value instanceof Missing)) {
      values.add(BsonOrder.key(value));
    }
  }

  private Document collStats(CommandRequest request) {
    String name = request.database() + "." + request.collection();
    DocumentCollection collection = state.catalog.find(request.database(), request.collection());
    return new Document("ns", name).appendAll(storageStats(collection)).append("ok", 1.0);
  }

  /** Sizes as `collStats` and `$collStats` show them. */
  static Document storageStats(DocumentCollection collection) {
    long bytes = collection == null ? 0 : collection.bytes();
    int count = collection == null ? 0 : collection.count();
    return new Document("size", bytes)
        .append("count", count)
        .append("avgObjSize", count == 0 ? 0 : (int) (bytes / count))
        .append("storageSize", bytes)
        .append("capped", collection != null && collection.isCapped())
        .append("nindexes", collection == null ? 0 : collection.indexes().size());
  }

  private Document dbStats(CommandRequest request) {
    List<DocumentCollection> collections = state.catalog.of(request.database());
    long bytes = collections.stream().mapToLong(DocumentCollection::bytes).sum();
    long objects = collections.stream().mapToLong(DocumentCollection::count).sum();
    return new Document("db", request.database())
        .append("collections", collections.size())
        .append("objects", objects)
        .append("dataSize", (double) bytes)
        .append("storageSize", (double) bytes)
        .append("ok", 1.0);
  }
}
