package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What one generation of servers does differently from another. Everything else asks here instead of knowing
 * generations; another kind of server is another subclass.
 */
abstract class Dialect {
  static final String TOO_OLD = "Resume of change stream was not possible,"
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
      case "mongodb-6.0" -> new MongoDb60();
      case "documentdb-5.0" -> new DocumentDb50();
      case "documentdb-8.0" -> new DocumentDb80();
      default -> throw new IllegalArgumentException(
          "--mode takes mongodb-5.0, mongodb-4.0, mongodb-6.0, documentdb-5.0 or documentdb-8.0, not " + mode);
    };
  }

  String versionText() {
    return "%d.%d.%d".formatted(version.get(0), version.get(1), version.get(2));
  }

  /** Whether change streams are off until a command enables them. */
  boolean needsEnabling() {
    return false;
  }

  /** Add, replace and remove commands. */
  void adapt(Map<String, CommandHandler> handlers, ServerState state) {}

  /** Refuse what no command takes. */
  void check(CommandRequest request) {}

  /** Refuse options that no collection can have. */
  void checkOptions(Document options) {}

  /** Refuse what no stage after `$changeStream`, or part of one, may hold. */
  void checkStreamStage(Object part) {}

  /** Whether replies carry a signed cluster time, elections and places in the log of replication. */
  boolean tellsReplication() {
    return true;
  }

  /** Whether the list of collections tells identities. */
  boolean tellsIdentities() {
    return true;
  }

  /** The event that reaches the log for this one; null for none. */
  Event logged(Event event) {
    return event;
  }

  /** Whether an event can end a stream, by an invalidate. */
  boolean invalidates() {
    return true;
  }

  /** The event as watchers get it; `found` is the document that was looked up, or null where it is gone. */
  Document shown(Event event, Document token, RawDocument found, boolean lookedUp) {
    return event.asDocument(token, found, lookedUp);
  }

  /** Read a token that came back. */
  Token parse(Document given) {
    return Token.parse(given);
  }

  /** Whether a stream resumes at a token's place even when the token's own event is not there. */
  boolean resumesByPlace() {
    return false;
  }

  /** Whether there is the command `hello` and what came along with it. */
  boolean knowsHello() {
    return true;
  }

  /** Whether change streams answer a position even when there is no event. */
  boolean showsIdlePosition() {
    return true;
  }

  /** Where a quiet stream stands that has seen everything up to this time: before that time's events, or after them. */
  Token idle(long time) {
    return Token.from(time);
  }

  /** Where a stream stands after an event that it does not show. */
  Token passed(Event event) {
    return Token.from(event.time);
  }

  /** Where a stream stands that opens after everything up to this time. */
  Token opened(long time) {
    return Token.from(time + 1);
  }

  /** Whether stages after `$changeStream` must leave an event's `_id` as it is. */
  boolean guardsTokens() {
    return true;
  }

  /** Whether a collection that is only made to be renamed shows its inserts, except those of `$out`. */
  boolean showsTemporaryInserts() {
    return false;
  }

  /** Whether a change of role closes every connection and cursor. */
  boolean stepDownCloses() {
    return false;
  }

  /** Whether a collection can have the state of a document before a change kept with the change. */
  boolean keepsBeforeImages() {
    return false;
  }

  boolean listsTruncatedArrays() {
    return true;
  }

  boolean takesPipelineUpdates() {
    return true;
  }

  /** Whether a successful reply ends with its time. */
  boolean tellsOperationTimeLast() {
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

  /** The labels of a stream's error that no driver may resume from. */
  List<String> fatalLabels() {
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
  abstract void checkResume(Token token, StreamScope scope, ServerState state, boolean startAfter);

  abstract CommandError startLost();

  /** The stream met a later event where the token's own should have been. */
  abstract CommandError tokenNotFound(Document token);

  /** The log ran over an open cursor's place. */
  abstract CommandError overtaken();

  abstract CommandError insertTooLarge(int size);

  abstract CommandError unknownField(String command, String field);
}
