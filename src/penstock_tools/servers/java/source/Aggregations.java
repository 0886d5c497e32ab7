package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** The command `aggregate`: change streams, and pipelines over collections. */
final class Aggregations {
  private static final Set<String> FIELDS = Set.of(
      "aggregate", "pipeline", "cursor", "explain", "allowDiskUse", "maxTimeMS", "bypassDocumentValidation",
      "readConcern", "collation", "hint", "comment", "writeConcern", "let", "lsid", "$clusterTime", "$db",
      "$readPreference", "txnNumber", "autocommit", "startTransaction", "apiVersion");

  private final ServerState state;

  Aggregations(ServerState state) {
    this.state = state;
  }

  Document run(CommandRequest request) {
    List<Document> stages = request.documents("pipeline");
    checkFields(request);
    boolean stream = !stages.isEmpty() && stages.getFirst().containsKey("$changeStream");
    if (request.flag("explain")) {
      return new Document("stages", stages).append("ok", 1.0);
    }
    int batchSize = batchSize(request);
    if (stages.stream().skip(1).anyMatch(stage -> stage.containsKey("$changeStream"))) {
      throw new CommandError(40602, "$changeStream is only valid as the first stage in a pipeline.");
    }
    if (stream) {
      ChangeStream opened = new ChangeStream(state, new StreamRequest(request, stages, state),
          Secondary.serves(state, request.connection()));
      return state.atMajority(state.cursors.firstReply(opened, batchSize, request.session()));
    }
    return overCollection(request, stages, batchSize);
  }

  private void checkFields(CommandRequest request) {
    for (String field : request.command().keySet()) {
      if (!FIELDS.contains(field)) {
        throw state.dialect.unknownField("aggregate", field);
      }
    }
    Object comment = request.command().get("comment");
    if (comment != null && !(comment instanceof String) && state.dialect.wantsTextComments()) {
      throw new CommandError(CommandError.TYPE_MISMATCH, "comment must be a string, not a " + Types.alias(comment));
    }
  }

  private static int batchSize(CommandRequest request) {
    if (!request.has("cursor")) {
      throw new CommandError(CommandError.FAILED_TO_PARSE,
          "The 'cursor' option is required, except for aggregate with the explain argument");
    }
    Object size = request.document("cursor").get("batchSize");
    int batchSize = size instanceof Number number ? number.intValue() : OpenCursor.FIRST_BATCH;
    if (batchSize < 0) {
      throw new CommandError(CommandError.BAD_VALUE, "cursor.batchSize must not be negative");
    }
    return batchSize;
  }

  private Document overCollection(CommandRequest request, List<Document> stages, int batchSize) {
    String collection = request.argument() instanceof String name ? name : "$cmd.aggregate";
    Object out = stages.isEmpty() ? null : stages.getLast().get("$out");
    if (out != null) {
      List<RawDocument> documents = documents(request, collection, stages.subList(0, stages.size() - 1)).toList();
      new CatalogCommands(state).putThroughTemporary("tmp.agg_out." + state.clock.last() % 1000, documents,
          request.database(), (String) out);
      return Cursors.reply("firstBatch", new OpenCursor.Batch(List.of(), true, null), 0L,
          request.database() + "." + collection);
    }
    DocumentCursor cursor = new DocumentCursor(request.database() + "." + collection,
        documents(request, collection, stages).iterator(), request.readsMajority());
    return state.cursors.firstReply(cursor, batchSize, request.session());
  }

  /** What a pipeline gives over a collection or a view. */
  Stream<RawDocument> documents(CommandRequest request, String name, List<Document> stages) {
    DocumentCollection collection = ReadCommands.readable(state, request, name);
    if (collection != null && collection.isView()) {
      List<Document> joined = new ArrayList<>();
      ((List<?>) collection.options.getOrDefault("pipeline", List.of())).forEach(stage -> joined.add((Document) stage));
      joined.addAll(stages);
      return documents(request, (String) collection.options.get("viewOn"), joined);
    }
    return start(collection, stages);
  }

  private Stream<RawDocument> start(DocumentCollection collection, List<Document> stages) {
    List<Document> rest = new ArrayList<>(stages);
    if (!rest.isEmpty() && rest.getFirst().containsKey("$collStats")) {
      Document statistics = new Document("ns", collection == null ? "" : collection.fullName())
          .append("storageStats", ReadCommands.storageStats(collection))
          .append("count", collection == null ? 0 : collection.count());
      return encoded(run(Stream.of(statistics), rest.subList(1, rest.size())));
    }
    if (state.dialect.needsEnabling() && !rest.isEmpty() && rest.getFirst().containsKey("$listChangeStreams")) {
      return encoded(run(state.enabled.list(), rest.subList(1, rest.size())));
    }
    Query query = Query.of(rest.isEmpty() || !rest.getFirst().containsKey("$match") ? new Document()
        : Query.asDocument(rest.removeFirst().get("$match"), "$match"));
    if (collection == null) {
      return encoded(run(Stream.empty(), rest));
    }
    Find find = new Find(collection, query);
    if (isCount(rest)) {
      long count = query.isEmpty() ? collection.count() : find.matching().count();
      return count == 0 ? Stream.empty()
          : encoded(Stream.of(new Document("_id", groupId(rest)).append("n", (int) count)));
    }
    if (!rest.isEmpty() && rest.getFirst().get("$sort") instanceof Document sort) {
      rest.removeFirst();
      find.sorted(sort);
    }
    Stream<DocumentCollection.Stored> found = find.matching();
    return rest.isEmpty() ? found.map(DocumentCollection.Stored::raw)
        : encoded(run(found.map(stored -> stored.raw().decoded()), rest));
  }

  /** What drivers send to count documents: `{$group: {_id: 1, n: {$sum: 1}}}`. */
  private static boolean isCount(List<Document> stages) {
    return stages.size() == 1
        && stages.getFirst().get("$group") instanceof Document group
        && group.size() == 2
        && !(group.get("_id") instanceof String)
        && !(group.get("_id") instanceof Document)
        && new Document("$sum", 1).equals(group.get("n"));
  }

  private static Object groupId(List<Document> stages) {
    return ((Document) stages.getFirst().get("$group")).get("_id");
  }

  private static Stream<RawDocument> encoded(Stream<Document> documents) {
    return documents.map(document -> new RawDocument(BsonWriter.encode(document)));
  }

  private static Stream<Document> run(Stream<Document> documents, List<Document> stages) {
    Stream<Document> running = documents;
    for (Document stage : stages) {
      running = apply(running, stage);
    }
    return running;
  }

  private static Stream<Document> apply(Stream<Document> documents, Document stage) {
    if (stage.size() != 1) {
      throw new CommandError(40323, "A pipeline stage specification object must contain exactly one field.");
    }
    Map.Entry<String, Object> only = stage.entrySet().iterator().next();
    return switch (only.getKey()) {
      case "$match" -> documents.filter(Query.of(Query.asDocument(only.getValue(), "$match"))::matches);
      case "$sort" -> documents.sorted(SortOrder.of((Document) only.getValue()));
      case "$sample" -> sample(documents, ((Number) ((Document) only.getValue()).get("size")).intValue());
      case "$lookup", "$graphLookup", "$merge", "$facet" ->
        throw new CommandError(40324, "The local source has no stage " + only.getKey());
      default -> StreamPipeline.libraryStage(stage).apply(documents);
    };
  }

  private static Stream<Document> sample(Stream<Document> documents, int size) {
    List<Document> all = new ArrayList<>(documents.toList());
    Collections.shuffle(all);
    return all.stream().limit(size);
  }
}
