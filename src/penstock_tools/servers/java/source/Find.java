package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.stream.Stream;
import penstock.source.DocumentCollection.Stored;

/** A search over one collection: filter, order, part and projection, streamed wherever the order allows. */
final class Find {
  private final DocumentCollection collection;
  private final Query query;
  private Document sort = new Document();
  private long skip;
  private long limit;
  private Projection projection;

  Find(DocumentCollection collection, Query query) {
    this.collection = collection;
    this.query = query;
  }

  static Find of(CommandRequest request, DocumentCollection collection) {
    Find find = new Find(collection, Query.of(request.document("filter")));
    find.sort = request.document("sort");
    find.skip = request.number("skip", 0);
    find.limit = Math.abs(request.number("limit", 0));
    find.projection = Projection.of(request.command().get("projection"));
    if (find.sort.isEmpty() && isByIdHint(request.command().get("hint"))) {
      find.sort = new Document("_id", 1);
    }
    return find;
  }

  private static boolean isByIdHint(Object hint) {
    return "_id_".equals(hint) || hint instanceof Document key && key.keySet().equals(java.util.Set.of("_id"));
  }

  Find sorted(Document order) {
    sort = order;
    return this;
  }

  /** The documents that match, in order, before skip and limit. */
  Stream<Stored> matching() {
    Stream<Stored> documents = candidates().filter(query::matches);
    if (sort.isEmpty() || isById() || isNatural()) {
      return documents;
    }
    record Sorted(Stored stored, Document document) {}
    SortOrder order = SortOrder.of(sort);
    return documents.map(stored -> new Sorted(stored, stored.raw().decoded()))
        .sorted((a, b) -> order.compare(a.document(), b.document())).map(Sorted::stored);
  }

  private Stream<Stored> candidates() {
    boolean descending = !sort.isEmpty() && sort.values().iterator().next() instanceof Number direction
        && direction.doubleValue() < 0;
    if (isById() || !query.idRange().isWhole() && !isNatural()) {
      return query.idRange().documents(collection, isById() && descending);
    }
    return (isNatural() && descending ? collection.inOrderOfComing().descendingMap() : collection.inOrderOfComing())
        .values().stream();
  }

  private boolean isById() {
    return !sort.isEmpty() && sort.keySet().iterator().next().equals("_id");
  }

  private boolean isNatural() {
    return !sort.isEmpty() && sort.keySet().iterator().next().equals("$natural");
  }

  Stream<Stored> part() {
    Stream<Stored> part = matching().skip(skip);
    return limit > 0 ? part.limit(limit) : part;
  }

  Stream<RawDocument> documents() {
    if (projection == null) {
      return part().map(Stored::raw);
    }
    return part().map(stored -> new RawDocument(BsonWriter.encode(projection.apply(stored.raw().decoded()))));
  }
}
