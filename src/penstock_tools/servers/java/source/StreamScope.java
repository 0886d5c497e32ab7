package penstock.source;

import java.util.Set;
import java.util.regex.PatternSyntaxException;

/** What a change stream watches: a collection, a database, or everything. Null names mean all. */
record StreamScope(String database, String collection, boolean hasCollation) {

  private static final Set<String> INTERNAL = Set.of("admin", "config", "local");

  /** Whether changes there reach the log at all. */
  static boolean isLogged(String database, String collection) {
    return !INTERNAL.contains(database) && (collection == null || !collection.startsWith("system."));
  }

  boolean isOneCollection() {
    return collection != null;
  }

  boolean isCluster() {
    return database == null;
  }

  /** How the cursor names what it reads. */
  String namespace() {
    return (isCluster() ? "admin" : database) + "." + (isOneCollection() ? collection : "$cmd.aggregate");
  }

  boolean sees(Event event, Dialect dialect) {
    if (isCluster()) {
      return true;
    }
    boolean here = database.equals(event.database) && matches(event.collection, dialect);
    return here || event.renamedDatabase != null && database.equals(event.renamedDatabase)
        && matches(event.renamedCollection, dialect);
  }

  private boolean matches(String name, Dialect dialect) {
    if (!isOneCollection()) {
      return true;
    }
    try {
      return name != null && dialect.collectionMatches(collection, name);
    } catch (PatternSyntaxException e) {
      return name.equals(collection);
    }
  }

  /** Whether the stream ends with this event, which it sees. */
  boolean endsWith(Event event) {
    return switch (event.type) {
      case "drop", "rename" -> isOneCollection();
      case "dropDatabase" -> !isCluster();
      default -> false;
    };
  }
}
