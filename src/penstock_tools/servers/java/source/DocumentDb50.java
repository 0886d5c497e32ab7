package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What Amazon DocumentDB 5.0 does differently from a MongoDB 5.0, as far as a sync tool can see it. */
class DocumentDb50 extends MongoDb50 {
  private static final HexFormat HEX = HexFormat.of();

  /** The cluster time, the increment once more, and the place among the events of that time. */
  private static final Pattern TOKEN = Pattern.compile("01([0-9a-f]{16})01[0-9a-f]{8}([0-9a-f]{8})",
      Pattern.CASE_INSENSITIVE);

  DocumentDb50() {}

  DocumentDb50(List<Integer> version, int wireVersion) {
    super(version, wireVersion);
  }

  @Override
  boolean needsEnabling() {
    return true;
  }

  @Override
  void adapt(Map<String, CommandHandler> handlers, ServerState state) {
    handlers.put("modifyChangeStreams", request -> modifyChangeStreams(request, state));
    handlers.put("getParameter", request -> {
      throw unsupported("getParameter");
    });
    handlers.remove("convertToCapped");
    handlers.remove("cloneCollectionAsCapped");
  }

  private static Document modifyChangeStreams(CommandRequest request, ServerState state) {
    if (!request.database().equals("admin")) {
      throw new CommandError(13, "modifyChangeStreams may only be run against the admin database.");
    }
    EnabledStreams.Rule rule = new EnabledStreams.Rule(name(request, "database"), name(request, "collection"));
    if (rule.database().isEmpty() && !rule.collection().isEmpty()) {
      throw new CommandError(CommandError.BAD_VALUE, "modifyChangeStreams with a collection needs its database");
    }
    if (!(request.command().get("enable") instanceof Boolean enable)) {
      throw CommandError.wrongType("modifyChangeStreams.enable", request.command().get("enable"), "bool");
    }
    state.writeLock.lock();
    try {
      if (enable) {
        state.enabled.enable(rule, state.clock.tick());
      } else {
        state.enabled.disable(rule);
      }
    } finally {
      state.writeLock.unlock();
    }
    return new Document("ok", 1.0);
  }

  private static String name(CommandRequest request, String field) {
    if (request.command().get(field) instanceof String text) {
      return text;
    }
    throw CommandError.wrongType("modifyChangeStreams." + field, request.command().get(field), "string");
  }

  private static CommandError unsupported(String feature) {
    return CommandError.unnamed(303, "Feature not supported: " + feature);
  }

  @Override
  void check(CommandRequest request) {
    if (request.document("readConcern").containsKey("afterClusterTime")) {
      throw unsupported("'causal consistency'");
    }
    if (request.transactionNumber() >= 0 && !request.isInTransaction()) {
      throw CommandError.unnamed(301, "Retryable writes are not supported");
    }
  }

  @Override
  void checkOptions(Document options) {
    if (Types.isTrue(options.get("capped"))) {
      throw unsupported("capped:true");
    }
    for (String field : List.of("pipeline", "viewOn")) {
      if (options.containsKey(field) && !knowsViews()) {
        throw CommandError.unnamed(303, "Field '%s' is currently not supported".formatted(field));
      }
    }
  }

  boolean knowsViews() {
    return false;
  }

  @Override
  void checkStreamStage(Object part) {
    if (part instanceof String text && (text.equals("$$REMOVE") || text.startsWith("$$REMOVE."))) {
      throw unsupported("$$REMOVE");
    }
    if (part instanceof Document document) {
      document.values().forEach(this::checkStreamStage);
    } else if (part instanceof List<?> list) {
      list.forEach(this::checkStreamStage);
    }
  }

  /** There are neither elections to report nor signed cluster times. */
  @Override
  boolean tellsReplication() {
    return false;
  }

  @Override
  boolean tellsIdentities() {
    return false;
  }

  @Override
  Token idle(long time) {
    return Token.afterAll(time);
  }

  @Override
  Token passed(Event event) {
    return Token.of(event);
  }

  @Override
  Token opened(long time) {
    return Token.afterAll(time);
  }

  @Override
  boolean guardsTokens() {
    return false;
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
  List<String> resumableLabels() {
    return List.of();
  }

  @Override
  Set<String> streamOptions() {
    return Set.of("fullDocument", "resumeAfter", "startAtOperationTime", "allChangesForCluster");
  }

  @Override
  Set<String> streamStages() {
    return Set.of("$match", "$project", "$redact", "$addFields", "$replaceRoot");
  }

  /** Only drops tell of whole collections; what a rename gives is not known, here it is the old name's drop. */
  @Override
  Event logged(Event event) {
    return switch (event.type) {
      case "dropDatabase" -> null;
      case "rename" -> new Event("drop", event.database, event.collection, event.uuid);
      default -> event;
    };
  }

  @Override
  boolean invalidates() {
    return false;
  }

  @Override
  Document shown(Event event, Document token, RawDocument found, boolean lookedUp) {
    Document shown = new Document("_id", token).append("operationType", event.type)
        .append("clusterTime", new BsonTimestamp(event.time)).append("ns", event.namespace());
    RawDocument document = lookedUp ? found : event.document;
    if (event.documentKey != null) {
      shown.append("documentKey", event.documentKey);
    }
    if (document != null) {
      shown.append("fullDocument", document);
    }
    return event.isUpdate() ? shown.append("updateDescription", event.updateDescription) : shown;
  }

  @Override
  Document token(Token token, Object id) {
    String time = HEX.toHexDigits(token.time());
    return new Document("_data", "01" + time + "01" + time.substring(8) + HEX.toHexDigits(token.place()));
  }

  @Override
  Token parse(Document given) {
    Matcher token = TOKEN.matcher(given.get("_data") instanceof String text ? text : "");
    if (!token.matches()) {
      throw CommandError.unnamed(CommandError.FAILED_TO_PARSE,
          "Invalid resume token: {_data: '%s'}".formatted(given.get("_data")));
    }
    long place = Long.parseLong(token.group(2), 16);
    return Token.at(Long.parseUnsignedLong(token.group(1), 16), place);
  }

  @Override
  boolean resumesByPlace() {
    return true;
  }

  @Override
  void checkResume(Token token, StreamScope scope, ServerState state, boolean startAfter) {
    if (Long.compareUnsigned(token.time(), state.log.oldestTime()) < 0) {
      throw startLost();
    }
  }

  @Override
  CommandError startLost() {
    return new CommandError(136,
        "CappedPositionLost: CollectionScan died due to position in capped collection being deleted.");
  }
}
