package penstock.source;

import de.bwaldvogel.mongo.bson.BsonRegularExpression;
import de.bwaldvogel.mongo.bson.MaxKey;
import de.bwaldvogel.mongo.bson.MinKey;
import java.util.List;
import java.util.NavigableMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/** The part of the order of `_id` that a filter is confined to: a range, or single values. */
final class IdRange {
  private Object lower;
  private boolean lowerIncluded;
  private Object upper;
  private boolean upperIncluded;
  private TreeSet<Object> single;

  boolean isWhole() {
    return lower == null && upper == null && single == null;
  }

  void equal(Object value) {
    if (!(value instanceof BsonRegularExpression)) {
      only(List.of(BsonOrder.key(value instanceof RawDocument raw ? raw.decoded() : value)));
    }
  }

  void narrow(String operator, Object value) {
    switch (operator) {
      case "$eq" -> equal(value);
      case "$in" -> {
        if (value instanceof List<?> values && values.stream().noneMatch(BsonRegularExpression.class::isInstance)) {
          only(values.stream().map(BsonOrder::key).toList());
        }
      }
      case "$gt" -> above(value, false);
      case "$gte" -> above(value, true);
      case "$lt" -> below(value, false);
      case "$lte" -> below(value, true);
      default -> { }
    }
  }

  private void only(List<Object> values) {
    TreeSet<Object> wanted = new TreeSet<>(BsonOrder.ASCENDING);
    wanted.addAll(values);
    if (single != null) {
      wanted.retainAll(single);
    }
    single = wanted;
  }

  private void above(Object value, boolean included) {
    raise(BsonOrder.key(value), included);
    if (!(value instanceof MinKey)) {
      lowerTheTop(new BsonOrder.Edge(BsonOrder.bracket(value), true), true);
    }
  }

  private void below(Object value, boolean included) {
    lowerTheTop(BsonOrder.key(value), included);
    if (!(value instanceof MaxKey)) {
      raise(new BsonOrder.Edge(BsonOrder.bracket(value), false), true);
    }
  }

  private void raise(Object bound, boolean included) {
    int difference = lower == null ? 1 : BsonOrder.ASCENDING.compare(bound, lower);
    if (difference > 0 || difference == 0 && !included) {
      lower = bound;
      lowerIncluded = included;
    }
  }

  private void lowerTheTop(Object bound, boolean included) {
    int difference = upper == null ? -1 : BsonOrder.ASCENDING.compare(bound, upper);
    if (difference < 0 || difference == 0 && !included) {
      upper = bound;
      upperIncluded = included;
    }
  }

  /** The documents in this range, in the order of `_id`. */
  Stream<DocumentCollection.Stored> documents(DocumentCollection collection, boolean descending) {
    NavigableMap<Object, DocumentCollection.Stored> all = collection.inOrderOfId();
    if (single != null) {
      Iterable<Object> ids = descending ? single.descendingSet() : single;
      return java.util.stream.StreamSupport.stream(ids.spliterator(), false).map(all::get)
          .filter(java.util.Objects::nonNull);
    }
    if (lower != null && upper != null && BsonOrder.ASCENDING.compare(lower, upper) > 0) {
      return Stream.empty();
    }
    NavigableMap<Object, DocumentCollection.Stored> part = all;
    if (lower != null) {
      part = part.tailMap(lower, lowerIncluded);
    }
    if (upper != null) {
      part = part.headMap(upper, upperIncluded);
    }
    return (descending ? part.descendingMap() : part).values().stream();
  }
}
