package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A projection that keeps or leaves out fields by dotted paths, through arrays of documents too. */
final class Projection {
  private final Document tree = new Document();
  private final boolean keeps;
  private final Boolean idWanted;

  private Projection(Document fields) {
    idWanted = fields.containsKey("_id") ? (Boolean) Types.isTrue(fields.get("_id")) : null;
    keeps = fields.entrySet().stream().filter(field -> !field.getKey().equals("_id")).findFirst()
        .map(field -> Types.isTrue(field.getValue())).orElse(idWanted != null && idWanted);
    for (Map.Entry<String, Object> field : fields.entrySet()) {
      if (!field.getKey().equals("_id")) {
        if (Types.isTrue(field.getValue()) != keeps) {
          throw new CommandError(31253 + (keeps ? 1 : 0),
              "Cannot mix inclusion and exclusion in one projection: field " + field.getKey());
        }
        plant(Paths.split(field.getKey()));
      }
    }
  }

  /** The projection, or null where nothing is projected. */
  static Projection of(Object argument) {
    return argument instanceof Document fields && !fields.isEmpty() ? new Projection(fields) : null;
  }

  /** Whether every field's value only says yes or no. */
  static boolean isPlain(Document fields) {
    return fields.values().stream().allMatch(value -> value instanceof Number || value instanceof Boolean);
  }

  private void plant(String[] parts) {
    Document at = tree;
    for (int i = 0; i < parts.length - 1; i++) {
      at = (Document) at.computeIfAbsent(parts[i], part -> new Document());
    }
    at.put(parts[parts.length - 1], null);
  }

  Document apply(Document document) {
    Document shown = project(document, tree);
    if (keeps && (idWanted == null || idWanted) && document.containsKey("_id")) {
      Document withId = new Document("_id", document.get("_id"));
      withId.putAll(shown);
      return withId;
    }
    if (idWanted != null && !idWanted) {
      shown.remove("_id");
    }
    return shown;
  }

  private Document project(Document document, Document branches) {
    Document shown = new Document();
    document.forEach(
        (name, value) -> {
          Object kept = field(value, branches.getOrMissing(name));
          if (!(kept instanceof Missing)) {
            shown.put(name, kept);
          }
        });
    return shown;
  }

  private Object field(Object value, Object branch) {
    if (branch instanceof Missing) {
      return keeps ? branch : value;
    }
    if (branch == null) {
      return keeps ? value : Missing.getInstance();
    }
    Object known = value instanceof RawDocument raw ? raw.decoded() : value;
    if (known instanceof Document document) {
      return project(document, (Document) branch);
    }
    return known instanceof List<?> list ? elements(list, branch) : keeps ? Missing.getInstance() : value;
  }

  private List<Object> elements(List<?> list, Object branch) {
    List<Object> shown = new ArrayList<>();
    for (Object element : list) {
      Object kept = element instanceof Document || element instanceof List<?> ? field(element, branch)
          : keeps ? Missing.getInstance() : element;
      if (!(kept instanceof Missing)) {
        shown.add(kept);
      }
    }
    return shown;
  }
}
