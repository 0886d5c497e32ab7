package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Set;

/**
 * What one generation of servers does differently from another. Everything else asks here instead of knowing
 * generations; another kind of server is another subclass.
 */
abstract class Dialect {
  private static final String TOO_OLD = "Resume of change stream was not possible,"
      + " as the resume point may no longer be in the oplog.";

  final List<Integer> version;
  final int wireVersion;

  Dialect(List<Integer> version, int wireVersion) {
    this.version = version;
    this.wireVersion = wireVersion;
  }

  static Dialect named(String mode) {
    return switch (mode) {
      case "mongodb-4.0" -> new MongoDb40();
      case "mongodb-5.0" -> new MongoDb50();
      default -> throw new IllegalArgumentException("--mode takes mongodb-4.0 or mongodb-5.0, not " + mode);
    };
  }

  String versionText() {
    return "%d.%d.%d".formatted(version.get(0), version.get(1), version.get(2));
  }

  /** Whether there is the command `hello` and what came along with it. */
  boolean knowsHello() {
    return true;
  }

  /** Whether change streams answer a position even when there is no event. */
  boolean showsIdlePosition() {
    return true;
  }

  boolean listsTruncatedArrays() {
    return true;
  }

  boolean takesPipelineUpdates() {
    return true;
  }

  /** Whether the error of a duplicate key names the key in fields of its own. */
  boolean explainsDuplicates() {
    return true;
  }

  /** Whether a capped collection refuses deletes, and updates that change a size. */
  boolean guardsCapped() {
    return false;
  }

  /** Whether `comment` must be text. */
  boolean wantsTextComments() {
    return false;
  }

  /** Whether a stream on one collection shows another collection's events. */
  boolean collectionMatches(String wanted, String name) {
    return name.equals(wanted);
  }

  /** The labels of a stream's error after which a driver may resume by itself. */
  List<String> resumableLabels() {
    return List.of();
  }

  abstract Set<String> streamOptions();

  /** Stages that may follow `$changeStream`. */
  abstract Set<String> streamStages();

  /** Stages that exist, but may not follow `$changeStream`, beyond those of all servers. */
  abstract Set<String> newerForbiddenStages();

  abstract Document token(Token token, Object id);

  /** The token of an invalidate event that follows the event with this token. */
  abstract Token invalidateToken(Token token);

  /** Refuse a token whose position is known to be lost, or that does not fit the stream. */
  abstract void checkResume(Token token, StreamScope scope, Source source, boolean startAfter);

  abstract CommandError startLost();

  /** The stream met a later event where the token's own should have been. */
  abstract CommandError tokenNotFound(Document token);

  /** The log ran over an open cursor's place. */
  abstract CommandError overtaken();

  abstract CommandError insertTooLarge(int size);

  abstract CommandError unknownField(String command, String field);

  /** MongoDB 4.0, which DocumentDB's protocol stems from: as it was recorded. */
  static final class MongoDb40 extends Dialect {
    MongoDb40() {
      super(List.of(4, 0, 3, 0), 7);
    }

    @Override
    boolean knowsHello() {
      return false;
    }

    @Override
    boolean showsIdlePosition() {
      return false;
    }

    @Override
    Set<String> streamOptions() {
      return Set.of("fullDocument", "resumeAfter", "startAtOperationTime", "allChangesForCluster");
    }

    @Override
    Set<String> streamStages() {
      return Set.of("$match", "$project", "$addFields", "$replaceRoot", "$redact");
    }

    @Override
    Document token(Token token, Object id) {
      return token.asOldDocument(id);
    }

    @Override
    void checkResume(Token token, StreamScope scope, Source source, boolean startAfter) {
      DocumentCollection present = scope.isOneCollection() ? source.catalog.find(scope.database(), scope.collection())
          : null;
      boolean same = present != null && present.uuid.equals(token.uuid());
      if (scope.isOneCollection() && !same && !scope.hasCollation()) {
        throw new CommandError(
            260,
            "Attempted to resume a stream on a collection which has been dropped. The change stream's pipeline may need"
                + " to make comparisons which should respect the collection's default collation, which can no longer"
                + " be determined. If you wish to resume this change stream you must specify a collation"
                + " with the request.");
      }
    }

    @Override
    CommandError startLost() {
      return new CommandError(40576, TOO_OLD + " ");
    }

    @Override
    CommandError tokenNotFound(Document token) {
      return new CommandError(
          40585, "resume of change stream was not possible, as the resume token was not found. {_data: \"%s\"}"
              .formatted(token.get("_data")));
    }

    @Override
    CommandError overtaken() {
      return new CommandError(
          136,
          "Error in $cursor stage :: caused by :: CollectionScan died due to failure to restore tailable cursor"
              + " position. Last seen record id: RecordId(1000000000000)");
    }

    @Override
    Token invalidateToken(Token token) {
      return token;
    }

    @Override
    boolean collectionMatches(String wanted, String name) {
      return name.matches(wanted);
    }

    @Override
    boolean takesPipelineUpdates() {
      return false;
    }

    @Override
    CommandError insertTooLarge(int size) {
      return new CommandError(CommandError.BAD_VALUE,
          "object to insert too large. size in bytes: %d, max size: %d".formatted(size, Limits.DOCUMENT_BYTES));
    }

    @Override
    CommandError unknownField(String command, String field) {
      return new CommandError(CommandError.FAILED_TO_PARSE, "unrecognized field '%s'".formatted(field));
    }

    @Override
    boolean explainsDuplicates() {
      return false;
    }

    @Override
    boolean listsTruncatedArrays() {
      return false;
    }

    @Override
    boolean guardsCapped() {
      return true;
    }

    @Override
    boolean wantsTextComments() {
      return true;
    }

    @Override
    Set<String> newerForbiddenStages() {
      return Set.of();
    }
  }

  /** MongoDB 5.0, which the newest drivers still speak to. */
  static final class MongoDb50 extends Dialect {
    private static final List<String> FATAL = List.of("NonResumableChangeStreamError");
    private static final List<String> RESUMABLE = List.of("ResumableChangeStreamError");

    MongoDb50() {
      super(List.of(5, 0, 0, 0), 13);
    }

    @Override
    List<String> resumableLabels() {
      return RESUMABLE;
    }

    @Override
    Set<String> streamOptions() {
      return Set.of("fullDocument", "resumeAfter", "startAfter", "startAtOperationTime", "allChangesForCluster");
    }

    @Override
    Set<String> streamStages() {
      return Set.of("$match", "$project", "$addFields", "$set", "$unset", "$replaceRoot", "$replaceWith", "$redact");
    }

    @Override
    Set<String> newerForbiddenStages() {
      return Set.of("$merge", "$unionWith");
    }

    @Override
    Document token(Token token, Object id) {
      return token.asNewDocument(id);
    }

    @Override
    void checkResume(Token token, StreamScope scope, Source source, boolean startAfter) {
      if (token.invalidate() && !startAfter) {
        throw new CommandError(260,
            "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.",
            FATAL);
      }
      if (Long.compareUnsigned(token.time(), source.log.oldestTime()) < 0) {
        throw startLost();
      }
    }

    @Override
    CommandError startLost() {
      return new CommandError(286, TOO_OLD, FATAL);
    }

    @Override
    CommandError tokenNotFound(Document token) {
      return new CommandError(280,
          "cannot resume stream; the resume token was not found. {_data: \"%s\"}".formatted(token.get("_data")), FATAL);
    }

    @Override
    CommandError overtaken() {
      return startLost();
    }

    @Override
    Token invalidateToken(Token token) {
      return token.asInvalidate();
    }

    @Override
    CommandError insertTooLarge(int size) {
      return new CommandError(10334,
          "object to insert too large. size in bytes: %d, max size: %d".formatted(size, Limits.DOCUMENT_BYTES));
    }

    @Override
    CommandError unknownField(String command, String field) {
      return new CommandError(40415, "BSON field '%s.%s' is an unknown field.".formatted(command, field));
    }
  }
}
