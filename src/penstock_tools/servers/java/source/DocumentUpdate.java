package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import penstock.source.DocumentCollection.Stored;

/** What an update does to one document: operators, a replacement, or a pipeline. */
final class DocumentUpdate {
  private final ServerState state;
  private final Update operators;
  private final Document replacement;
  private final List<Document> pipeline;

  private DocumentUpdate(ServerState state, Update operators, Document replacement, List<Document> pipeline) {
    this.state = state;
    this.operators = operators;
    this.replacement = replacement;
    this.pipeline = pipeline;
  }

  static DocumentUpdate of(Object update, List<Document> arrayFilters, ServerState state) {
    if (update instanceof List<?> stages) {
      return new DocumentUpdate(state, null, null, stages.stream().map(Document.class::cast).toList());
    }
    Document given = Query.asDocument(update, "update");
    return Update.isOperators(given)
        ? new DocumentUpdate(state, Update.of(given, arrayFilters), null, null)
        : new DocumentUpdate(state, null, given, null);
  }

  boolean replaces() {
    return replacement != null;
  }

  /** The document's new state, or the same one where the update changes nothing. */
  Stored applyTo(WriteUnit unit, DocumentCollection view, Stored stored, Query query) {
    if (replaces()) {
      return replace(unit, view, stored);
    }
    Document document = stored.raw().decoded();
    Changes changes = operators != null ? applyOperators(document, query) : applyPipeline(document);
    if (changes.isEmpty()) {
      return stored;
    }
    RawDocument raw = new RawDocument(BsonWriter.encode(document));
    checkSize(view, stored, raw);
    return unit.update(view, stored, raw, changes);
  }

  private Changes applyOperators(Document document, Query query) {
    Query.Match match = new Query.Match();
    query.matches(document, match);
    return operators.apply(document, match.arrayPosition, false);
  }

  /** Run the stages, and leave their result in the document. */
  private Changes applyPipeline(Document document) {
    Document before = document.clone();
    Stream<Document> running = Stream.of(document.cloneDeeply());
    for (Document stage : pipeline) {
      running = StreamPipeline.libraryStage(stage).apply(running);
    }
    Document after = running.findFirst().orElseThrow();
    requireSameId(after.getOrDefault("_id", before.get("_id")), before.get("_id"));
    document.clear();
    document.append("_id", before.get("_id"));
    document.putAll(after);
    return Changes.between(before, document);
  }

  private void checkSize(DocumentCollection view, Stored old, RawDocument raw) {
    int before = old.raw().bytes().length;
    int after = raw.bytes().length;
    if (after > Limits.DOCUMENT_BYTES) {
      throw new CommandError(17419, "Resulting document after update is larger than " + Limits.DOCUMENT_BYTES);
    }
    if (view.isCapped() && before != after && state.dialect.guardsCapped()) {
      throw new CommandError(10003,
          "Cannot change the size of a document in a capped collection: %d != %d".formatted(before, after));
    }
  }

  private Stored replace(WriteUnit unit, DocumentCollection view, Stored stored) {
    Object id = replacement.getOrDefault("_id", stored.id());
    requireSameId(id, stored.id());
    Documents.Ready ready = Documents.rebuilt(withId(replacement, id), state);
    checkSize(view, stored, ready.raw());
    return unit.replace(view, stored, ready.id(), ready.raw());
  }

  private static void requireSameId(Object id, Object before) {
    if (!BsonOrder.same(id, before)) {
      throw new CommandError(
          66, "After applying the update, the (immutable) field '_id' was found to have been altered to _id: "
              + Types.text(id));
    }
  }

  private static Document withId(Document document, Object id) {
    Document whole = new Document("_id", id);
    whole.putAll(document);
    return whole;
  }

  /** Insert what an upsert makes of the filter's equalities and the update. */
  Stored insertInto(WriteUnit unit, DocumentCollection view, Query query) {
    Document start = new Document();
    addEqualities(query.filter(), start);
    Document document = start;
    if (replaces()) {
      document = start.containsKey("_id") ? withId(replacement, start.get("_id")) : replacement;
    } else if (operators != null) {
      operators.apply(document, -1, true);
    } else {
      applyPipeline(document);
    }
    Documents.Ready ready = Documents.rebuilt(document, state);
    return unit.insert(view, ready.id(), ready.raw());
  }

  private static void addEqualities(Document filter, Document to) {
    filter.forEach(
        (name, value) -> {
          if (name.equals("$and")) {
            ((List<?>) value).forEach(part -> addEqualities((Document) part, to));
          } else if (!name.startsWith("$")) {
            Object equal = equality(value);
            if (!(equal instanceof Missing)) {
              plant(Paths.split(name), equal, to);
            }
          }
        });
  }

  private static Object equality(Object condition) {
    if (!ValuePredicate.isOperators(condition)) {
      return condition;
    }
    Document operators = (Document) condition;
    if (operators.get("$in") instanceof List<?> only && only.size() == 1) {
      return only.getFirst();
    }
    return operators.getOrMissing("$eq");
  }

  private static void plant(String[] parts, Object value, Document to) {
    Document at = to;
    for (String part : new ArrayList<>(Arrays.asList(parts).subList(0, parts.length - 1))) {
      at = (Document) at.computeIfAbsent(part, name -> new Document());
    }
    at.put(parts[parts.length - 1], value);
  }
}
