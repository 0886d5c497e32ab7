package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;

/** Commands about collections, databases and indexes. */
final class CatalogCommands {
  private static final List<String> NOT_OPTIONS = List.of("create", "lsid", "$clusterTime", "$db", "$readPreference",
      "writeConcern", "txnNumber", "comment", "idIndex");

  private final ServerState state;

  CatalogCommands(ServerState state) {
    this.state = state;
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("create", this::create);
    handlers.put("drop", this::drop);
    handlers.put("dropDatabase", this::dropDatabase);
    handlers.put("renameCollection", this::renameCollection);
    handlers.put("collMod", this::collMod);
    handlers.put("convertToCapped", this::convertToCapped);
    handlers.put("cloneCollectionAsCapped", this::cloneCollectionAsCapped);
    handlers.put("listCollections", this::listCollections);
    handlers.put("listDatabases", this::listDatabases);
    handlers.put("createIndexes", this::createIndexes);
    handlers.put("dropIndexes", this::dropIndexes);
    handlers.put("listIndexes", this::listIndexes);
  }

  private static Document ok() {
    return new Document("ok", 1.0);
  }

  private DocumentCollection require(String database, String name, String otherwise) {
    DocumentCollection found = state.catalog.find(database, name);
    if (found == null) {
      throw new CommandError(CommandError.NAMESPACE_NOT_FOUND, otherwise);
    }
    return found;
  }

  private Document create(CommandRequest request) {
    Document options = new Document();
    request.command().forEach(
        (name, value) -> {
          if (!NOT_OPTIONS.contains(name)) {
            options.append(name, value);
          }
        });
    state.dialect.checkOptions(options);
    try (WriteUnit unit = new WriteUnit(state)) {
      state.catalog.create(request.database(), request.collection(), options);
      return ok();
    }
  }

  private Document drop(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection dropped = require(request.database(), request.collection(), "ns not found");
      unit.drop(dropped);
      Document reply = new Document("ns", dropped.fullName());
      return (dropped.isView() ? reply : reply.append("nIndexesWas", dropped.indexes().size())).append("ok", 1.0);
    }
  }

  private Document dropDatabase(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      List<DocumentCollection> collections = state.catalog.of(request.database());
      if (collections.isEmpty()) {
        return ok();
      }
      collections.forEach(unit::drop);
      unit.log(Event.dropDatabase(request.database()));
      return new Document("dropped", request.database()).append("ok", 1.0);
    }
  }

  private Document renameCollection(CommandRequest request) {
    String[] from = split((String) request.argument());
    String[] to = split((String) request.command().get("to"));
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection renamed = require(from[0], from[1], "source namespace does not exist");
      DocumentCollection target = state.catalog.find(to[0], to[1]);
      if (target != null && !request.flag("dropTarget")) {
        throw new CommandError(48, "target namespace exists");
      }
      if (from[0].equals(to[0])) {
        moveOver(unit, renamed, to[0], to[1]);
      } else {
        List<RawDocument> documents = renamed.inOrderOfComing().values().stream().map(DocumentCollection.Stored::raw)
            .toList();
        putThroughTemporary(unit, "tmp" + letters() + ".renameCollection", documents, to[0], to[1],
            state.dialect.showsTemporaryInserts());
        unit.drop(renamed);
      }
      return ok();
    }
  }

  private static String[] split(String fullName) {
    return fullName.split("\\.", 2);
  }

  /** Give a collection another's name; what had the name before goes without an event of its own. */
  private void moveOver(WriteUnit unit, DocumentCollection renamed, String database, String name) {
    DocumentCollection target = state.catalog.find(database, name);
    if (target != null) {
      state.catalog.drop(target);
    }
    unit.log(Event.rename(renamed, database, name));
    state.catalog.rename(renamed, database, name);
  }

  /** Fill a temporary collection and rename it over the target, as `$out` and its like do. */
  void putThroughTemporary(String temporary, List<RawDocument> documents, String database, String target) {
    try (WriteUnit unit = new WriteUnit(state)) {
      putThroughTemporary(unit, temporary, documents, database, target, true);
    }
  }

  private void putThroughTemporary(WriteUnit unit, String temporary, List<RawDocument> documents, String database,
      String target, boolean shown) {
    DocumentCollection made = state.catalog.create(database, temporary, new Document());
    insertAll(unit, made, documents, shown);
    moveOver(unit, made, database, target);
  }

  private void insertAll(WriteUnit unit, DocumentCollection into, List<RawDocument> documents, boolean shown) {
    for (RawDocument raw : documents) {
      Documents.Ready ready = Documents.prepare(raw, state);
      if (shown) {
        unit.insert(into, ready.id(), ready.raw());
      } else {
        into.insert(ready.id(), ready.raw());
      }
    }
  }

  private static String letters() {
    return "%05x".formatted(ThreadLocalRandom.current().nextInt(1 << 20));
  }

  private static List<RawDocument> documentsOf(DocumentCollection collection) {
    return collection.inOrderOfComing().values().stream().map(DocumentCollection.Stored::raw).toList();
  }

  private Document collMod(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection collection = require(request.database(), request.collection(), "ns does not exist");
      for (String option : List.of("validator", "validationLevel", "validationAction", "changeStreamPreAndPostImages")) {
        if (request.has(option)) {
          collection.options.put(option, request.command().get(option));
        }
      }
      return ok();
    }
  }

  private Document convertToCapped(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection collection = require(request.database(), request.collection(),
          "source collection does not exist");
      String temporary = "tmp%s.convertToCapped.%s".formatted(letters(), collection.name());
      putThroughTemporary(unit, temporary, documentsOf(collection), request.database(), collection.name(),
          state.dialect.showsTemporaryInserts());
      return ok();
    }
  }

  private Document cloneCollectionAsCapped(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection collection = require(request.database(), request.collection(),
          "source collection does not exist");
      Document options = new Document("capped", true).append("size", request.command().get("size"));
      insertAll(unit,
          state.catalog.create(request.database(), (String) request.command().get("toCollection"), options),
          documentsOf(collection), state.dialect.showsTemporaryInserts());
      return ok();
    }
  }

  private Document listCollections(CommandRequest request) {
    Query filter = Query.of(request.document("filter"));
    List<Document> shown = new ArrayList<>();
    for (DocumentCollection collection : state.catalog.of(request.database())) {
      Document description = description(collection);
      if (filter.matches(description)) {
        shown.add(request.flag("nameOnly") ? Projection.of(new Document("name", 1).append("type", 1)).apply(description)
            : description);
      }
    }
    return Cursors.single(request.database() + ".$cmd.listCollections", shown);
  }

  private Document description(DocumentCollection collection) {
    Document info = new Document("readOnly", collection.isView());
    Document description = new Document("name", collection.name())
        .append("type", collection.type()).append("options", collection.options)
        .append("info", info);
    if (!collection.isView()) {
      if (state.dialect.tellsIdentities()) {
        info.append("uuid", Binary.of(collection.uuid));
      }
      description.append("idIndex", CollectionIndex.ofId().description);
    }
    return description;
  }

  private Document listDatabases(CommandRequest request) {
    Query filter = Query.of(request.document("filter"));
    List<Document> shown = new ArrayList<>();
    long total = 0;
    for (String name : state.catalog.databases()) {
      long bytes = state.catalog.of(name).stream().mapToLong(DocumentCollection::bytes).sum();
      Document database = new Document("name", name).append("sizeOnDisk", (double) bytes).append("empty", bytes == 0);
      if (filter.matches(database)) {
        total += bytes;
        shown.add(request.flag("nameOnly") ? new Document("name", name) : database);
      }
    }
    Document reply = new Document("databases", shown);
    return (request.flag("nameOnly") ? reply : reply.append("totalSize", (double) total)).append("ok", 1.0);
  }

  private Document createIndexes(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      boolean made = state.catalog.find(request.database(), request.collection()) == null;
      DocumentCollection collection = state.catalog.findOrCreate(request.database(), request.collection());
      int before = collection.indexes().size();
      for (Document description : request.documents("indexes")) {
        if (collection.indexes().stream().noneMatch(index -> index.name().equals(description.get("name")))) {
          collection.addIndex(new CollectionIndex(description));
        }
      }
      int after = collection.indexes().size();
      Document reply = before == after ? new Document() : new Document("createdCollectionAutomatically", made);
      reply.append("numIndexesBefore", before).append("numIndexesAfter", after);
      return (before == after ? reply.append("note", "all indexes already exist") : reply).append("ok", 1.0);
    }
  }

  private Document dropIndexes(CommandRequest request) {
    try (WriteUnit unit = new WriteUnit(state)) {
      DocumentCollection collection = require(request.database(), request.collection(), "ns not found");
      int before = collection.indexes().size();
      Object wanted = request.command().get("index");
      Predicate<CollectionIndex> chosen = index -> !index.name().equals("_id_")
          && ("*".equals(wanted) || index.name().equals(wanted) || index.description.get("key").equals(wanted));
      if (!"*".equals(wanted) && collection.indexes().stream().noneMatch(chosen)) {
        throw new CommandError(27, "index not found with name [%s]".formatted(wanted));
      }
      collection.indexes().removeIf(chosen);
      return new Document("nIndexesWas", before).append("ok", 1.0);
    }
  }

  private Document listIndexes(CommandRequest request) {
    DocumentCollection collection = require(request.database(), request.collection(),
        "ns does not exist: %s.%s".formatted(request.database(), request.collection()));
    return Cursors.single(collection.fullName(),
        collection.indexes().stream().map(index -> index.description).toList());
  }
}
