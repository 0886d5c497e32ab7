package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** The order that a sort document asks for. Of an array counts its least element, or its greatest when descending. */
final class SortOrder implements Comparator<Document> {
  private final Document fields;

  private SortOrder(Document fields) {
    this.fields = fields;
  }

  static SortOrder of(Document fields) {
    return new SortOrder(fields);
  }

  @Override
  public int compare(Document one, Document other) {
    for (Map.Entry<String, Object> field : fields.entrySet()) {
      boolean descending = field.getValue() instanceof Number direction && direction.doubleValue() < 0;
      Object first = value(one, Paths.split(field.getKey()), 0, descending);
      Object second = value(other, Paths.split(field.getKey()), 0, descending);
      int difference = BsonOrder.ASCENDING.compare(first, second);
      if (difference != 0) {
        return descending ? -difference : difference;
      }
    }
    return 0;
  }

  private static Object value(Object container, String[] parts, int at, boolean greatest) {
    if (container instanceof List<?> list && (at == parts.length || Paths.position(parts[at]) < 0)) {
      Comparator<Object> order = greatest ? BsonOrder.ASCENDING : BsonOrder.ASCENDING.reversed();
      return list.stream()
          .map(element -> BsonOrder.key(at == parts.length ? element : value(element, parts, at, greatest)))
          .max(order).orElse(Missing.getInstance());
    }
    return at == parts.length ? container : value(Paths.child(container, parts[at]), parts, at + 1, greatest);
  }
}
