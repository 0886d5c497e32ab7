package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;

/** The open cursors. */
final class Cursors {
  /** How the servers print the hash of an absent user. */
  private static final String NO_USER = " - 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

  private final Map<Long, OpenCursor> open = new ConcurrentHashMap<>();

  void register(OpenCursor cursor, Document session) {
    do {
      cursor.id = ThreadLocalRandom.current().nextLong(1L << 33, Long.MAX_VALUE);
    } while (open.putIfAbsent(cursor.id, cursor) != null);
    cursor.session = session;
  }

  /** The cursor of a getMore, which only one may be using at a time. */
  OpenCursor take(long id, String namespace, Document session, boolean atSecondary) {
    OpenCursor cursor = open.get(id);
    if (cursor == null || cursor.atSecondary != atSecondary) {
      throw notFound(id);
    }
    if (!cursor.namespace.equals(namespace)) {
      throw new CommandError(
          13, "Requested getMore on namespace '%s', but cursor belongs to a different namespace %s".formatted(namespace,
              cursor.namespace));
    }
    if (!cursor.inUse.compareAndSet(false, true)) {
      throw new CommandError(143, "cursor id %d is already in use".formatted(id));
    }
    try {
      checkSession(cursor, session);
    } catch (CommandError e) {
      cursor.inUse.set(false);
      throw e;
    }
    return cursor;
  }

  private static void checkSession(OpenCursor cursor, Document session) {
    Object before = cursor.session == null ? null : cursor.session.get("id");
    Object now = session == null ? null : session.get("id");
    if (before != null && !before.equals(now)) {
      throw new CommandError(
          50738, "Cannot run getMore on cursor %d, which was created in session %s, in session %s".formatted(cursor.id,
              text(before), text(now)));
    }
  }

  private static String text(Object session) {
    return session instanceof Binary id ? id.asUuid() + NO_USER : "none";
  }

  static CommandError notFound(long id) {
    return new CommandError(43, "cursor id %d not found".formatted(id));
  }

  boolean close(long id) {
    return open.remove(id) != null;
  }

  /** Close what this member has. */
  boolean close(long id, boolean atSecondary) {
    OpenCursor cursor = open.get(id);
    return cursor != null && cursor.atSecondary == atSecondary && close(id);
  }

  void closeWhere(Predicate<OpenCursor> condition) {
    open.values().removeIf(condition);
  }

  Collection<OpenCursor> all() {
    return open.values();
  }

  /** The reply to the command that opened the cursor. */
  Document firstReply(OpenCursor cursor, int batchSize, Document session) {
    OpenCursor.Batch batch = cursor.next(batchSize, 0);
    if (batch.exhausted()) {
      cursor.id = 0;
    } else {
      register(cursor, session);
    }
    return reply("firstBatch", batch, cursor.id, cursor.namespace);
  }

  static Document reply(String key, OpenCursor.Batch batch, long id, String namespace) {
    Document shown = new Document(key, batch.documents());
    if (batch.position() != null) {
      shown.append("postBatchResumeToken", batch.position());
    }
    return new Document("cursor", shown.append("id", id).append("ns", namespace)).append("ok", 1.0);
  }

  static Document single(String namespace, List<?> documents) {
    Document shown = new Document("id", 0L).append("ns", namespace).append("firstBatch", documents);
    return new Document("cursor", shown).append("ok", 1.0);
  }
}
