package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.Comparator;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.stream.Stream;

/**
 * Which collections have change streams, and since when. On DocumentDB none have until a rule says so; elsewhere the
 * rule of the whole cluster is always there.
 */
final class EnabledStreams {
  /** What a rule is about: a collection, a whole database (no collection), or the cluster (neither). */
  record Rule(String database, String collection) {
    static final Rule CLUSTER = new Rule("", "");
  }

  private static final Comparator<Rule> BY_NAME = Comparator.comparing(Rule::database).thenComparing(Rule::collection);
  private static final long LATEST = -1;

  private final boolean refuses;
  private final Map<Rule, Long> since = new ConcurrentSkipListMap<>(BY_NAME);

  /** With `refuses`, a stream that is not enabled fails; otherwise it opens and shows nothing. */
  EnabledStreams(boolean refuses) {
    this.refuses = refuses;
  }

  void enable(Rule rule, long time) {
    since.putIfAbsent(rule, time);
  }

  void disable(Rule rule) {
    since.remove(rule);
  }

  /** Whether the event is of a collection that is enabled, and was so at the event's time. */
  boolean covers(Event event) {
    return covers(event.database, event.collection, event.time);
  }

  private boolean covers(String database, String collection, long time) {
    return holds(Rule.CLUSTER, time)
        || database != null && holds(new Rule(database, ""), time)
        || collection != null && holds(new Rule(database, collection), time);
  }

  private boolean holds(Rule rule, long time) {
    Long begun = since.get(rule);
    return begun != null && Long.compareUnsigned(begun, time) <= 0;
  }

  /** Whether a stream that opens now will show events. */
  boolean admits(StreamScope scope) {
    boolean enabled = covers(scope.database(), scope.collection(), LATEST);
    if (!enabled && refuses) {
      throw CommandError.unnamed(136, "modifyChangeStreams has not been run for this collection/database/cluster");
    }
    return enabled;
  }

  /** The rules as `$listChangeStreams` shows them. */
  Stream<Document> list() {
    return since.keySet().stream()
        .map(rule -> new Document("database", rule.database()).append("collection", rule.collection()));
  }
}
