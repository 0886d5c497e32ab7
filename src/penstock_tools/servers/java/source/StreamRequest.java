package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Set;

/** An aggregate command that opens a change stream, checked. */
final class StreamRequest {
  private static final Set<String> INTERNAL = Set.of("admin", "config", "local");
  private static final String OPTION = "$changeStream.";

  final StreamScope scope;
  final boolean looksUp;
  /** Whether events show the document before the change, and whether one without it ends the stream. */
  final boolean showsBefore;
  final boolean requiresBefore;
  final StreamPipeline pipeline;
  final Document resumeToken;
  final Token resume;
  final boolean startsAfter;
  final Long startTime;

  StreamRequest(CommandRequest request, List<Document> stages, ServerState state) {
    if (!(stages.getFirst().get("$changeStream") instanceof Document options)) {
      throw new CommandError(50808, "$changeStream stage expects a document as argument.");
    }
    checkNames(options, state.dialect);
    boolean cluster = flag(options, "allChangesForCluster");
    scope = scope(request, cluster, state);
    looksUp = looksUp(options);
    String before = before(options);
    showsBefore = !before.equals("off");
    requiresBefore = before.equals("required");
    checkReadConcern(request.document("readConcern"));
    pipeline = new StreamPipeline(stages.subList(1, stages.size()), state.dialect);
    Document after = token(options, "startAfter");
    startsAfter = after != null;
    resumeToken = startsAfter ? after : token(options, "resumeAfter");
    startTime = startTime(options);
    if (startsAfter && options.get("resumeAfter") != null) {
      throw new CommandError(50865, "Do not specify both 'resumeAfter' and 'startAfter' in a $changeStream stage");
    }
    if (resumeToken != null && startTime != null) {
      throw new CommandError(40674, "Only one type of resume option is allowed, but multiple were found.");
    }
    resume = resumeToken == null ? null : state.dialect.parse(resumeToken);
  }

  private static void checkNames(Document options, Dialect dialect) {
    for (String name : options.keySet()) {
      if (!dialect.streamOptions().contains(name)) {
        throw new CommandError(40415, "BSON field '%s%s' is an unknown field.".formatted(OPTION, name));
      }
    }
  }

  private static boolean flag(Document options, String name) {
    Object value = options.get(name);
    if (value == null || value instanceof Boolean) {
      return Boolean.TRUE.equals(value);
    }
    throw CommandError.wrongType(OPTION + name, value, "bool");
  }

  private static StreamScope scope(CommandRequest request, boolean cluster, ServerState state) {
    String database = request.database();
    String collection = request.argument() instanceof String name ? name : null;
    boolean collation = request.has("collation");
    if (cluster) {
      if (!database.equals("admin") || collection != null) {
        throw new CommandError(
            CommandError.INVALID_OPTIONS,
            ("A $changeStream with 'allChangesForCluster:true' may only be opened on the 'admin' database, and with no"
                + " collection name; found %s.%s")
                .formatted(database, collection == null ? "$cmd.aggregate" : collection));
      }
      return new StreamScope(null, null, collation);
    }
    if (INTERNAL.contains(database)) {
      throw new CommandError(CommandError.INVALID_NAMESPACE,
          "$changeStream may not be opened on the internal %s database".formatted(database));
    }
    if (collection != null && collection.startsWith("system.")) {
      throw new CommandError(
          CommandError.INVALID_NAMESPACE,
          "$changeStream may not be opened on the internal %s.%s collection".formatted(database, collection));
    }
    DocumentCollection present = collection == null ? null : state.catalog.find(database, collection);
    if (present != null && present.isView()) {
      throw new CommandError(166, "Namespace %s is a view, not a collection".formatted(present.fullName()));
    }
    return new StreamScope(database, collection, collation);
  }

  private static boolean looksUp(Document options) {
    Object mode = options.get("fullDocument");
    if (mode == null) {
      return false;
    }
    if (!(mode instanceof String text)) {
      throw CommandError.wrongType(OPTION + "fullDocument", mode, "string");
    }
    if (!text.equals("default") && !text.equals("updateLookup")) {
      throw new CommandError(
          40575,
          ("unrecognized value for the 'fullDocument' option to the $changeStream stage."
              + " Expected \"default\" or \"updateLookup\", got \"%s\"").formatted(text));
    }
    return text.equals("updateLookup");
  }

  private static String before(Document options) {
    Object mode = options.getOrDefault("fullDocumentBeforeChange", "off");
    if (!(mode instanceof String text)) {
      throw CommandError.wrongType(OPTION + "fullDocumentBeforeChange", mode, "string");
    }
    if (!List.of("off", "whenAvailable", "required").contains(text)) {
      throw new CommandError(CommandError.BAD_VALUE,
          "Enumeration value '%s' for field '$changeStream.fullDocumentBeforeChange' is not a valid value."
              .formatted(text));
    }
    return text;
  }

  private static void checkReadConcern(Document readConcern) {
    Object level = readConcern.get("level");
    if ("snapshot".equals(level)) {
      throw new CommandError(CommandError.INVALID_OPTIONS,
          "readConcern level snapshot is only valid in multi-statement transactions");
    }
    if (level != null && !"majority".equals(level)) {
      throw new CommandError(
          CommandError.INVALID_OPTIONS,
          "$changeStream cannot run with a readConcern other than 'majority', or in a multi-document transaction."
              + " Current readConcern: { readConcern: { level: \"%s\" } }".formatted(level));
    }
  }

  private static Document token(Document options, String name) {
    Object value = options.get(name);
    if (value == null || value instanceof Document) {
      return (Document) value;
    }
    throw CommandError.wrongType(OPTION + name, value, "object");
  }

  private static Long startTime(Document options) {
    Object value = options.get("startAtOperationTime");
    if (value == null) {
      return null;
    }
    if (value instanceof BsonTimestamp time) {
      return time.getValue();
    }
    throw CommandError.wrongType(OPTION + "startAtOperationTime", value, "timestamp");
  }
}
