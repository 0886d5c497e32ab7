package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Map;

/** A command or a single write that fails, as the driver gets to see it. */
final class CommandError extends RuntimeException {
  static final int INTERNAL_ERROR = 1;
  static final int BAD_VALUE = 2;
  static final int FAILED_TO_PARSE = 9;
  static final int TYPE_MISMATCH = 14;
  static final int ILLEGAL_OPERATION = 20;
  static final int NAMESPACE_NOT_FOUND = 26;
  static final int INVALID_OPTIONS = 72;
  static final int INVALID_NAMESPACE = 73;
  static final int DUPLICATE_KEY = 11000;

  static final String TRANSIENT_TRANSACTION = "TransientTransactionError";

  private static final Map<Integer, String> NAMES = Map.ofEntries(
      Map.entry(1, "InternalError"),
      Map.entry(2, "BadValue"),
      Map.entry(9, "FailedToParse"),
      Map.entry(13, "Unauthorized"),
      Map.entry(14, "TypeMismatch"),
      Map.entry(15, "Overflow"),
      Map.entry(18, "AuthenticationFailed"),
      Map.entry(20, "IllegalOperation"),
      Map.entry(26, "NamespaceNotFound"),
      Map.entry(27, "IndexNotFound"),
      Map.entry(28, "PathNotViable"),
      Map.entry(40, "ConflictingUpdateOperators"),
      Map.entry(43, "CursorNotFound"),
      Map.entry(48, "NamespaceExists"),
      Map.entry(59, "CommandNotFound"),
      Map.entry(66, "ImmutableField"),
      Map.entry(72, "InvalidOptions"),
      Map.entry(73, "InvalidNamespace"),
      Map.entry(86, "IndexKeySpecsConflict"),
      Map.entry(112, "WriteConflict"),
      Map.entry(136, "CappedPositionLost"),
      Map.entry(143, "CursorInUse"),
      Map.entry(166, "CommandNotSupportedOnView"),
      Map.entry(237, "CursorKilled"),
      Map.entry(251, "NoSuchTransaction"),
      Map.entry(260, "InvalidResumeToken"),
      Map.entry(263, "OperationNotSupportedInTransaction"),
      Map.entry(280, "ChangeStreamFatalError"),
      Map.entry(286, "ChangeStreamHistoryLost"),
      Map.entry(10107, "NotWritablePrimary"),
      Map.entry(10334, "BSONObjectTooLarge"),
      Map.entry(11000, "DuplicateKey"),
      Map.entry(11602, "InterruptedDueToReplStateChange"));

  final int code;
  final List<String> labels;
  private final Document details;
  private boolean named = true;

  CommandError(int code, String message) {
    this(code, message, new Document(), List.of());
  }

  CommandError(int code, String message, List<String> labels) {
    this(code, message, new Document(), labels);
  }

  CommandError(int code, String message, Document details, List<String> labels) {
    super(message, null, false, false);
    this.code = code;
    this.details = details;
    this.labels = labels;
  }

  /** An error that comes without a `codeName`. */
  static CommandError unnamed(int code, String message) {
    CommandError error = new CommandError(code, message);
    error.named = false;
    return error;
  }

  /** The same as servers before 4.2 say it: of a duplicate key without the names of its fields. */
  CommandError inOldWords() {
    if (code != DUPLICATE_KEY || !(details.get("keyValue") instanceof Document key)) {
      return this;
    }
    String values = String.join(", ", key.values().stream().map(value -> ": " + Types.text(value)).toList());
    String message = getMessage();
    return new CommandError(code, message.substring(0, message.indexOf("dup key: ")) + "dup key: { " + values + " }", labels);
  }

  static CommandError wrongType(String field, Object value, String expected) {
    return new CommandError(
        TYPE_MISMATCH,
        "BSON field '%s' is the wrong type '%s', expected type '%s'"
            .formatted(field, Types.alias(value), expected));
  }

  String codeName() {
    return NAMES.getOrDefault(code, "Location" + code);
  }

  /** The failure of a whole command; the servers put the time in front of it. */
  Document asReply(Object operationTime) {
    Document reply = new Document();
    if (!labels.isEmpty()) {
      reply.append("errorLabels", labels);
    }
    reply
        .append("operationTime", operationTime)
        .append("ok", 0.0)
        .append("errmsg", getMessage())
        .append("code", code);
    return named ? reply.append("codeName", codeName()) : reply;
  }

  /** The failure of one write within a command. */
  Document asWriteError(int index) {
    Document error = new Document("index", index).append("code", code);
    details.forEach(error::append);
    return error.append("errmsg", getMessage());
  }
}
