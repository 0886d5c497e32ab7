package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Set;

/** MongoDB 5.0, which the newest drivers still speak to. */
class MongoDb50 extends Dialect {
  private static final List<String> FATAL = List.of("NonResumableChangeStreamError");
  private static final List<String> RESUMABLE = List.of("ResumableChangeStreamError");

  MongoDb50() {
    this(List.of(5, 0, 0, 0), 13);
  }

  MongoDb50(List<Integer> version, int wireVersion) {
    super(version, wireVersion);
  }

  @Override
  List<String> resumableLabels() {
    return RESUMABLE;
  }

  @Override
  List<String> fatalLabels() {
    return FATAL;
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
  Token parse(Document given) {
    Token.checkVersioned(given);
    return super.parse(given);
  }

  @Override
  void checkResume(Token token, StreamScope scope, ServerState state, boolean startAfter) {
    if (token.invalidate() && !startAfter) {
      throw new CommandError(260,
          "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.",
          FATAL);
    }
    if (Long.compareUnsigned(token.time(), state.log.oldestTime()) < 0) {
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
