package penstock.source;

import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * An update by operators, compiled: it changes a document and says which paths it changed, in the words of a real
 * server's change events.
 */
final class Update {
  private record Modification(String operator, Object argument) {}

  private final TreeMap<String[], Modification> modifications = new TreeMap<>(Arrays::compare);
  private final Map<String, Query> arrayFilters = new HashMap<>();

  private Update() {}

  /** Whether a document of an update command is a list of operators and not a replacement. */
  static boolean isOperators(Document update) {
    return !update.isEmpty() && update.keySet().iterator().next().startsWith("$");
  }

  static Update of(Document update, List<Document> arrayFilters) {
    Update compiled = new Update();
    update.forEach(compiled::addOperator);
    arrayFilters.forEach(compiled::addArrayFilter);
    return compiled;
  }

  private void addOperator(String operator, Object argument) {
    if (!Operators.isKnown(operator)) {
      throw new CommandError(CommandError.FAILED_TO_PARSE, "Unknown modifier: " + operator);
    }
    if (!(argument instanceof Document fields)) {
      throw new CommandError(
          CommandError.FAILED_TO_PARSE,
          "Modifiers operate on fields but we found type %s instead. For example: {$mod: {<field>: ...}} not {%s: %s}"
              .formatted(Types.alias(argument), operator, Types.text(argument)));
    }
    if (fields.isEmpty()) {
      throw new CommandError(
          CommandError.FAILED_TO_PARSE,
          "'%s' is empty. You must specify a field like so: {%s: {<field>: ...}}".formatted(operator, operator));
    }
    fields.forEach((path, value) -> addModification(path, new Modification(operator, value)));
  }

  private void addModification(String path, Modification modification) {
    if (modification.operator().equals("$rename")) {
      if (!(modification.argument() instanceof String target)) {
        throw new CommandError(CommandError.BAD_VALUE, "The 'to' field for $rename must be a string: " + path);
      }
      add(path, new Modification("$rename from", target));
      add(target, new Modification("$rename to", path));
    } else {
      add(path, modification);
    }
  }

  private void add(String path, Modification modification) {
    for (String[] taken : modifications.keySet()) {
      String other = String.join(".", taken);
      if (Paths.overlap(path, other)) {
        String shorter = path.length() < other.length() ? path : other;
        throw new CommandError(40, "Updating the path '%s' would create a conflict at '%s'".formatted(path, shorter));
      }
    }
    modifications.put(Paths.split(path), modification);
  }

  private void addArrayFilter(Document filter) {
    String field = filter.keySet().iterator().next();
    String identifier = Paths.split(field)[0];
    Document renamed = new Document();
    filter.forEach((path, value) -> renamed.append("element" + path.substring(identifier.length()), value));
    arrayFilters.put(identifier, Query.of(renamed));
  }

  /** Change the document in place; `arrayPosition` is what `$` stands for. */
  Changes apply(Document document, int arrayPosition, boolean inserting) {
    Changes changes = new Changes();
    Object id = document.get("_id");
    Map<String, Object> renamed = takeRenamed(document, changes);
    modifications.forEach(
        (parts, modification) -> {
          Application application = new Application(document, modification, changes, arrayPosition, inserting, renamed);
          application.run(parts);
        });
    if (!inserting && (changes.touches("_id") && !BsonOrder.same(id, document.get("_id")))) {
      throw new CommandError(66, "Performing an update on the path '_id' would modify the immutable field '_id'");
    }
    return changes;
  }

  /** Renamed values leave before anything else happens. */
  private Map<String, Object> takeRenamed(Document document, Changes changes) {
    Map<String, Object> renamed = new HashMap<>();
    modifications.forEach(
        (parts, modification) -> {
          String path = String.join(".", parts);
          if (modification.operator().equals("$rename from")) {
            Object value = Paths.get(document, path);
            renamed.put(path, value);
            if (!(value instanceof Missing)) {
              remove(document, parts);
              changes.unset(path);
            }
          }
        });
    return renamed;
  }

  private static boolean remove(Document document, String[] parts) {
    Object container = document;
    for (int i = 0; i < parts.length - 1; i++) {
      container = Paths.child(container, parts[i]);
    }
    String last = parts[parts.length - 1];
    if (Paths.child(container, last) instanceof Missing) {
      return false;
    }
    if (container instanceof Document parent) {
      parent.remove(last);
    } else {
      elements(container).set(Paths.position(last), null);
    }
    return true;
  }

  @SuppressWarnings("unchecked")
  private static List<Object> elements(Object list) {
    return (List<Object>) list;
  }

  /** One modification at work on one document. */
  private final class Application {
    private final Document document;
    private final Modification modification;
    private final Changes changes;
    private final int arrayPosition;
    private final boolean inserting;
    private final Map<String, Object> renamed;

    Application(
        Document document, Modification modification, Changes changes, int arrayPosition, boolean inserting,
        Map<String, Object> renamed) {
      this.document = document;
      this.modification = modification;
      this.changes = changes;
      this.arrayPosition = arrayPosition;
      this.inserting = inserting;
      this.renamed = renamed;
    }

    void run(String[] parts) {
      String[] path = parts.clone();
      for (int i = 1; i < path.length; i++) {
        if (path[i].equals("$")) {
          if (arrayPosition < 0) {
            throw new CommandError(CommandError.BAD_VALUE,
                "The positional operator did not find the match needed from the query.");
          }
          path[i] = Integer.toString(arrayPosition);
        }
      }
      each(path, 0);
    }

    /** Do it for every array element that the path's `$[...]` stand for. */
    private void each(String[] path, int from) {
      int at = from;
      while (at < path.length && !path[at].startsWith("$[")) {
        at++;
      }
      if (at == path.length) {
        modify(path);
        return;
      }
      String arrayPath = Paths.join(path, 0, at);
      if (!(Paths.get(document, arrayPath) instanceof List<?> list)) {
        throw new CommandError(
            CommandError.BAD_VALUE,
            "The path '%s' must exist in the document in order to apply array updates.".formatted(arrayPath));
      }
      int changed = 0;
      for (int i : chosen(path[at].substring(2, path[at].length() - 1), list)) {
        int before = changes.count();
        String[] concrete = path.clone();
        concrete[at] = Integer.toString(i);
        each(concrete, at + 1);
        changed += changes.count() > before ? 1 : 0;
      }
      if (changed > 1) {
        changes.setWhole(arrayPath, list);
      }
    }

    private List<Integer> chosen(String identifier, List<?> list) {
      Query filter = arrayFilters.get(identifier);
      if (filter == null && !identifier.isEmpty()) {
        throw new CommandError(CommandError.BAD_VALUE,
            "No array filter found for identifier '%s'".formatted(identifier));
      }
      List<Integer> chosen = new ArrayList<>();
      for (int i = 0; i < list.size(); i++) {
        if (filter == null || filter.matches(new Document("element", list.get(i)))) {
          chosen.add(i);
        }
      }
      return chosen;
    }

    private void modify(String[] parts) {
      String path = String.join(".", parts);
      Object old = Paths.get(document, path);
      switch (modification.operator()) {
        case "$rename from" -> { }
        case "$unset" -> {
          if (remove(document, parts)) {
            changes.unset(path);
          }
        }
        case "$rename to" -> {
          Object value = renamed.get((String) modification.argument());
          if (!(value instanceof Missing)) {
            put(parts, value);
            changes.set(path, value);
          }
        }
        case "$setOnInsert" -> {
          if (inserting) {
            put(parts, modification.argument());
          }
        }
        default -> compute(parts, path, old);
      }
    }

    private void compute(String[] parts, String path, Object old) {
      Operators.Field field = new Operators.Field(parts[parts.length - 1], old, document.get("_id"));
      Object value = Operators.result(modification.operator(), modification.argument(), field);
      if (value instanceof Missing || Operators.identical(old, value)) {
        return;
      }
      put(parts, value);
      int appended = Operators.appendedFrom(modification.operator(), modification.argument(), old);
      if (appended < 0) {
        changes.set(path, value);
        return;
      }
      List<?> list = (List<?>) value;
      for (int i = appended; i < list.size(); i++) {
        changes.set(path + "." + i, list.get(i));
      }
    }

    /** Put a value at a path, making the documents that lead there. */
    private void put(String[] parts, Object value) {
      Object container = document;
      for (int i = 0; i < parts.length - 1; i++) {
        Object next = Paths.child(container, parts[i]);
        if (next instanceof Missing) {
          next = new Document();
          putInto(container, parts[i], next, i == 0 ? "" : parts[i - 1]);
        }
        container = next;
      }
      putInto(container, parts[parts.length - 1], value, parts.length > 1 ? parts[parts.length - 2] : "");
    }

    private void putInto(Object container, String name, Object value, String containerName) {
      if (container instanceof Document parent) {
        parent.put(name, value);
        return;
      }
      int position = Paths.position(name);
      if (!(container instanceof List<?>) || position < 0) {
        throw new CommandError(
            28, "Cannot create field '%s' in element {%s: %s}".formatted(name, containerName, Types.text(container)));
      }
      List<Object> list = elements(container);
      while (list.size() <= position) {
        list.add(null);
      }
      list.set(position, value);
    }
  }
}
