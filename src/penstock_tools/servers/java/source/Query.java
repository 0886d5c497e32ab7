package penstock.source;

import de.bwaldvogel.mongo.backend.aggregation.Expression;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A filter, compiled: which documents match, which fields it looks at, and the range of `_id` it is confined to. */
final class Query {
  /** Where in an array the last match was found; -1 when none was involved. One of these per thread at work. */
  static final class Match {
    int arrayPosition = -1;
  }

  interface Condition {
    boolean test(Document document, Match match);
  }

  private final List<Condition> conditions = new ArrayList<>();
  private final Set<String> roots = new HashSet<>();
  private final IdRange idRange = new IdRange();
  private final Document filter;

  private Query(Document filter) {
    this.filter = filter;
  }

  static Query of(Document filter) {
    Query query = new Query(filter);
    filter.forEach((name, value) -> query.conditions.add(query.compile(name, value, true)));
    return query;
  }

  static Query ofArgument(Object filter) {
    return of(filter == null ? new Document() : asDocument(filter, "filter"));
  }

  static Document asDocument(Object value, String field) {
    if (value instanceof RawDocument raw) {
      return raw.decoded();
    }
    if (value instanceof Document document) {
      return document;
    }
    throw CommandError.wrongType(field, value, "object");
  }

  boolean matches(Document document) {
    return matches(document, new Match());
  }

  boolean matches(Document document, Match match) {
    for (Condition condition : conditions) {
      if (!condition.test(document, match)) {
        return false;
      }
    }
    return true;
  }

  boolean matches(DocumentCollection.Stored stored) {
    if (conditions.isEmpty()) {
      return true;
    }
    return matches(looksOnlyAtId() ? new Document("_id", stored.id()) : stored.raw().decoded());
  }

  boolean isEmpty() {
    return conditions.isEmpty();
  }

  Document filter() {
    return filter;
  }

  IdRange idRange() {
    return idRange;
  }

  /** Whether the filter may look at this top-level field. */
  boolean looksAt(String field) {
    return roots.contains(field) || roots.contains("$expr");
  }

  private boolean looksOnlyAtId() {
    return roots.size() == 1 && roots.contains("_id");
  }

  /** `certain` is true for what every matching document must fulfil: only that narrows the range of `_id`. */
  private Condition compile(String name, Object value, boolean certain) {
    return switch (name) {
      case "$and" -> all(several(name, value, certain));
      case "$or" -> any(several(name, value, false));
      case "$nor" -> not(any(several(name, value, false)));
      case "$comment" -> (document, match) -> true;
      case "$expr" -> expression(value);
      case "$where" -> throw new CommandError(CommandError.BAD_VALUE, "$where is not allowed in this context");
      case "$text" -> throw new CommandError(17313, "$match with $text is only allowed as the first pipeline stage");
      default -> {
        if (name.startsWith("$")) {
          throw new CommandError(CommandError.BAD_VALUE, "unknown top level operator: " + name);
        }
        yield field(name, value, certain);
      }
    };
  }

  private List<Condition> several(String name, Object value, boolean certain) {
    if (!(value instanceof List<?> filters) || filters.isEmpty()) {
      throw new CommandError(CommandError.BAD_VALUE, "$and/$or/$nor must be a nonempty array");
    }
    List<Condition> compiled = new ArrayList<>();
    for (Object filter : filters) {
      List<Condition> together = new ArrayList<>();
      asDocument(filter, name).forEach((field, condition) -> together.add(compile(field, condition, certain)));
      compiled.add(all(together));
    }
    return compiled;
  }

  private Condition expression(Object expression) {
    roots.add("$expr");
    return (document, match) -> Types.isTrue(Expression.evaluateDocument(expression, document));
  }

  private static Condition all(List<Condition> conditions) {
    return (document, match) -> conditions.stream().allMatch(condition -> condition.test(document, match));
  }

  private static Condition any(List<Condition> conditions) {
    return (document, match) -> conditions.stream().anyMatch(condition -> condition.test(document, match));
  }

  private static Condition not(Condition condition) {
    return (document, match) -> !condition.test(document, new Match());
  }

  private Condition field(String path, Object value, boolean certain) {
    String[] parts = Paths.split(path);
    roots.add(parts[0]);
    boolean narrows = certain && path.equals("_id");
    if (!ValuePredicate.isOperators(value)) {
      if (narrows) {
        idRange.equal(value);
      }
      return reaching(parts, ValuePredicate.equal(value));
    }
    Document operators = (Document) value;
    List<Condition> compiled = new ArrayList<>();
    for (Map.Entry<String, Object> operator : operators.entrySet()) {
      if (narrows) {
        idRange.narrow(operator.getKey(), operator.getValue());
      }
      compiled.add(operator(parts, operator.getKey(), operator.getValue(), operators));
    }
    return all(compiled);
  }

  private Condition operator(String[] parts, String name, Object argument, Document siblings) {
    return switch (name) {
      case "$not" -> not(field(String.join(".", parts), negatable(argument), false));
      case "$ne" -> not(reaching(parts, ValuePredicate.equal(argument)));
      case "$nin" -> not(reaching(parts, ValuePredicate.in(argument)));
      case "$exists" -> {
        Condition exists = reaching(parts, ValuePredicate.exists());
        yield Types.isTrue(argument) ? exists : not(exists);
      }
      case "$all" -> everyOf(parts, argument);
      case "$options" -> (document, match) -> true;
      default -> reaching(parts, ValuePredicate.of(name, argument, siblings));
    };
  }

  private static Object negatable(Object argument) {
    if (argument instanceof Document || argument instanceof de.bwaldvogel.mongo.bson.BsonRegularExpression) {
      return argument;
    }
    throw new CommandError(CommandError.BAD_VALUE, "$not needs a regex or a document");
  }

  private Condition everyOf(String[] parts, Object argument) {
    if (!(argument instanceof List<?> wanted)) {
      throw new CommandError(CommandError.BAD_VALUE, "$all needs an array");
    }
    if (wanted.isEmpty()) {
      return (document, match) -> false;
    }
    List<Condition> each = new ArrayList<>();
    wanted.forEach(value -> each.add(field(String.join(".", parts), value, false)));
    return all(each);
  }

  private static Condition reaching(String[] parts, ValuePredicate test) {
    return (document, match) -> reaches(document, parts, 0, test, match);
  }

  /** Whether the test holds for a value at the path, through arrays of documents too. */
  private static boolean reaches(Object container, String[] parts, int at, ValuePredicate test, Match match) {
    if (at == parts.length) {
      return holds(container, test, match);
    }
    if (!(container instanceof List<?> list)) {
      return reaches(Paths.child(container, parts[at]), parts, at + 1, test, match);
    }
    int position = Paths.position(parts[at]);
    if (position >= 0 && position < list.size() && reaches(list.get(position), parts, at + 1, test, match)) {
      return true;
    }
    for (int i = 0; i < list.size(); i++) {
      if (list.get(i) instanceof Document element && reaches(element, parts, at, test, match)) {
        match.arrayPosition = i;
        return true;
      }
    }
    return false;
  }

  private static boolean holds(Object value, ValuePredicate test, Match match) {
    if (test.test(value, match)) {
      return true;
    }
    if (value instanceof List<?> list && test.looksIntoArrays()) {
      for (int i = 0; i < list.size(); i++) {
        if (test.test(list.get(i), match)) {
          match.arrayPosition = i;
          return true;
        }
      }
    }
    return false;
  }
}
