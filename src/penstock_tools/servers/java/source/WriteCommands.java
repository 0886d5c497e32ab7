package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import penstock.source.DocumentCollection.Stored;

/** Insert, update, delete and findAndModify. */
final class WriteCommands {
  private static final ObjectId ELECTION = new ObjectId("7fffffff0000000000000001");

  private final ServerState state;

  WriteCommands(ServerState state) {
    this.state = state;
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("insert", this::insert);
    handlers.put("update", this::update);
    handlers.put("delete", this::delete);
    handlers.put("findAndModify", this::findAndModify);
  }

  /** One write of several; it answers how many documents it concerned. */
  private interface Write {
    int run(int index, Object statement);
  }

  /** What a command's writes did. */
  private final class Outcome {
    private final List<Document> errors = new ArrayList<>();
    private final List<Document> upserted = new ArrayList<>();
    private int n;
    private int modified;

    void each(CommandRequest request, List<?> statements, Write write) {
      boolean ordered = !request.has("ordered") || request.flag("ordered");
      for (int i = 0; i < statements.size(); i++) {
        try {
          n += write.run(i, statements.get(i));
        } catch (CommandError e) {
          if (request.isInTransaction()) {
            throw e;
          }
          errors.add(writeError(e, i));
          if (ordered) {
            return;
          }
        }
      }
    }

    private Document writeError(CommandError error, int index) {
      return (state.dialect.explainsDuplicates() ? error : error.inOldWords()).asWriteError(index);
    }

    Document reply(boolean ofUpdate) {
      Document reply = new Document("n", n);
      if (ofUpdate) {
        reply.append("nModified", modified);
      }
      if (!upserted.isEmpty()) {
        reply.append("upserted", upserted);
      }
      if (!errors.isEmpty()) {
        reply.append("writeErrors", errors);
      }
      if (!state.dialect.tellsReplication()) {
        return reply.append("ok", 1.0);
      }
      Document time = new Document("ts", new BsonTimestamp(state.clock.last())).append("t", 1L);
      return reply.append("opTime", time).append("electionId", ELECTION).append("ok", 1.0);
    }
  }

  private static List<?> statements(CommandRequest request, String field) {
    if (request.command().get(field) instanceof List<?> statements && !statements.isEmpty()) {
      if (statements.size() > Limits.WRITES_PER_COMMAND) {
        throw new CommandError(21,
            "Write batch sizes must be between 1 and 100000. Got %d operations.".formatted(statements.size()));
      }
      return statements;
    }
    throw new CommandError(CommandError.FAILED_TO_PARSE,
        "the command %s needs a non-empty array '%s'".formatted(request.name(), field));
  }

  private Document insert(CommandRequest request) {
    List<?> documents = statements(request, "documents");
    Outcome outcome = new Outcome();
    try (WriteUnit unit = new WriteUnit(state, request)) {
      DocumentCollection view = unit.target(request.database(), request.collection());
      outcome.each(request, documents, (index, document) -> insertOne(unit, view, document));
    }
    return outcome.reply(false);
  }

  private int insertOne(WriteUnit unit, DocumentCollection view, Object document) {
    Documents.Ready ready = Documents.prepare(document, state);
    validate(view, ready.raw());
    unit.insert(view, ready.id(), ready.raw());
    return 1;
  }

  private static void validate(DocumentCollection view, RawDocument raw) {
    if (view.options.get("validator") instanceof Document validator && !Query.of(validator).matches(raw.decoded())) {
      throw new CommandError(121, "Document failed validation");
    }
  }

  private Document update(CommandRequest request) {
    List<Document> statements = request.documents("updates");
    statements.forEach(this::checkUpdate);
    Outcome outcome = new Outcome();
    try (WriteUnit unit = new WriteUnit(state, request)) {
      boolean makes = statements.stream().anyMatch(statement -> Types.isTrue(statement.get("upsert")));
      DocumentCollection view = targetOrNull(unit, request, makes);
      outcome.each(request, statements,
          (index, statement) -> updateOne(unit, view, (Document) statement, index, outcome));
    }
    return outcome.reply(true);
  }

  private void checkUpdate(Document statement) {
    Object update = statement.get("u");
    if (!(update instanceof Document) && !(update instanceof List<?> && state.dialect.takesPipelineUpdates())) {
      throw CommandError.wrongType("update.updates.u", update, "object");
    }
  }

  /** The collection to write to; null where there is none and the command makes none. */
  private DocumentCollection targetOrNull(WriteUnit unit, CommandRequest request, boolean makes) {
    boolean present = state.catalog.find(request.database(), request.collection()) != null;
    return present || makes ? unit.target(request.database(), request.collection()) : null;
  }

  private int updateOne(WriteUnit unit, DocumentCollection view, Document statement, int index, Outcome outcome) {
    boolean multi = Types.isTrue(statement.get("multi"));
    DocumentUpdate update = DocumentUpdate.of(statement.get("u"), arrayFilters(statement), state);
    if (multi && update.replaces()) {
      throw new CommandError(CommandError.FAILED_TO_PARSE, "multi update only works with $ operators");
    }
    if (view == null) {
      return 0;
    }
    Query query = Query.of(Query.asDocument(statement.get("q"), "update.updates.q"));
    long most = multi ? Long.MAX_VALUE : 1;
    List<Stored> found = unit.settled(view, () -> new Find(view, query).matching().limit(most));
    if (found.isEmpty() && Types.isTrue(statement.get("upsert"))) {
      Stored inserted = update.insertInto(unit, view, query);
      outcome.upserted.add(new Document("index", index).append("_id", inserted.id()));
      return 1;
    }
    int modified = 0;
    for (Stored stored : found) {
      modified += update.applyTo(unit, view, stored, query) != stored ? 1 : 0;
    }
    outcome.modified += modified;
    return found.size();
  }

  private static List<Document> arrayFilters(Document from) {
    List<Document> filters = new ArrayList<>();
    ((List<?>) from.getOrDefault("arrayFilters", List.of())).forEach(filter -> filters.add((Document) filter));
    return filters;
  }

  private Document delete(CommandRequest request) {
    List<?> statements = request.documents("deletes");
    Outcome outcome = new Outcome();
    try (WriteUnit unit = new WriteUnit(state, request)) {
      DocumentCollection view = targetOrNull(unit, request, false);
      outcome.each(request, statements,
          (index, statement) -> view == null ? 0 : deleteSome(unit, view, (Document) statement));
    }
    return outcome.reply(false);
  }

  private int deleteSome(WriteUnit unit, DocumentCollection view, Document statement) {
    if (view.isCapped() && state.dialect.guardsCapped()) {
      throw new CommandError(CommandError.ILLEGAL_OPERATION,
          "cannot remove from a capped collection: " + view.fullName());
    }
    Query query = Query.of(Query.asDocument(statement.get("q"), "delete.deletes.q"));
    long limit = ((Number) statement.getOrDefault("limit", 0)).longValue();
    long most = limit == 0 ? Long.MAX_VALUE : limit;
    List<Stored> found = unit.settled(view, () -> new Find(view, query).matching().limit(most));
    found.forEach(stored -> unit.delete(view, stored));
    return found.size();
  }

  private Document findAndModify(CommandRequest request) {
    boolean remove = request.flag("remove");
    if (!remove && !request.has("update")) {
      throw new CommandError(CommandError.FAILED_TO_PARSE, "Either an update or remove=true must be specified");
    }
    try (WriteUnit unit = new WriteUnit(state, request)) {
      DocumentCollection view = targetOrNull(unit, request, request.flag("upsert"));
      Query query = Query.of(request.document("query"));
      Stored found = view == null ? null : first(unit, view, query, request.document("sort"));
      return remove ? removed(unit, view, found, request) : modified(unit, view, found, query, request);
    }
  }

  private static Stored first(WriteUnit unit, DocumentCollection view, Query query, Document sort) {
    List<Stored> found = unit.settled(view, () -> new Find(view, query).sorted(sort).matching().limit(1));
    return found.isEmpty() ? null : found.getFirst();
  }

  private static Document removed(WriteUnit unit, DocumentCollection view, Stored found, CommandRequest request) {
    if (found != null) {
      unit.delete(view, found);
    }
    return reply(new Document("n", found == null ? 0 : 1), found, request);
  }

  private Document modified(
      WriteUnit unit, DocumentCollection view, Stored found, Query query, CommandRequest request) {
    DocumentUpdate update = DocumentUpdate.of(request.command().get("update"), arrayFilters(request.command()), state);
    boolean newWanted = request.flag("new");
    if (found != null) {
      Stored after = update.applyTo(unit, view, found, query);
      return reply(new Document("n", 1).append("updatedExisting", true), newWanted ? after : found, request);
    }
    if (!request.flag("upsert")) {
      return reply(new Document("n", 0).append("updatedExisting", false), null, request);
    }
    Stored inserted = update.insertInto(unit, view, query);
    Document last = new Document("n", 1).append("updatedExisting", false).append("upserted", inserted.id());
    return reply(last, newWanted ? inserted : null, request);
  }

  private static Document reply(Document lastErrorObject, Stored shown, CommandRequest request) {
    Projection projection = Projection.of(request.command().get("fields"));
    Object value = shown == null ? null : projection == null ? shown.raw() : projection.apply(shown.raw().decoded());
    return new Document("lastErrorObject", lastErrorObject).append("value", value).append("ok", 1.0);
  }
}
