package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Set;

/** MongoDB 4.0, which DocumentDB's protocol stems from: as it was recorded. */
final class MongoDb40 extends Dialect {
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
  void checkResume(Token token, StreamScope scope, ServerState state, boolean startAfter) {
    DocumentCollection present = scope.isOneCollection() ? state.catalog.find(scope.database(), scope.collection())
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
  boolean tellsOperationTimeLast() {
    return false;
  }

  @Override
  boolean explainsDuplicates() {
    return false;
  }

  @Override
  boolean guardsTokens() {
    return false;
  }

  @Override
  boolean showsTemporaryInserts() {
    return true;
  }

  @Override
  boolean stepDownCloses() {
    return true;
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
