package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.NavigableMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * The documents of one collection in the order of `_id` and in the order of their coming. Reading needs no lock;
 * writing needs the source's write lock.
 */
final class DocumentCollection {
  /** One document; a change puts a new one in its place. */
  record Stored(long record, Object id, RawDocument raw) {
    Object key() {
      return BsonOrder.key(id);
    }
  }

  /** A document's states before and after it changed; null where it was not there. */
  private record Change(Stored before, Stored after) {}

  final UUID uuid;
  private volatile String database;
  private volatile String name;
  private final ConcurrentSkipListMap<Object, Stored> byId;
  private final ConcurrentSkipListMap<Long, Stored> byRecord;
  private final List<CollectionIndex> indexes = new CopyOnWriteArrayList<>();
  private long nextRecord = 1;
  private volatile long bytes;

  /** What keeps old states until they are committed; null for a copy, which nobody else reads. */
  private final Majority majority;

  /** What is not committed yet, in order. */
  private final Deque<Change> uncommitted = new ArrayDeque<>();

  /** The options it was created with; `viewOn` makes it a view. */
  final Document options;

  DocumentCollection(String database, String name, Document options, Majority majority) {
    this(UUID.randomUUID(), database, name, options, new ConcurrentSkipListMap<>(BsonOrder.ASCENDING),
        new ConcurrentSkipListMap<>(), majority);
    indexes.add(CollectionIndex.ofId());
  }

  private DocumentCollection(
      UUID uuid, String database, String name, Document options,
      ConcurrentSkipListMap<Object, Stored> byId, ConcurrentSkipListMap<Long, Stored> byRecord,
      Majority majority) {
    this.uuid = uuid;
    this.database = database;
    this.name = name;
    this.options = options;
    this.byId = byId;
    this.byRecord = byRecord;
    this.majority = majority;
  }

  /** A copy that changes on its own: what a transaction works on. */
  DocumentCollection snapshot() {
    DocumentCollection copy = copy();
    copy.nextRecord = nextRecord;
    copy.bytes = bytes;
    indexes.forEach(index -> copy.indexes.add(index.emptyCopy().filledFrom(byRecord.values())));
    return copy;
  }

  private DocumentCollection copy() {
    return new DocumentCollection(uuid, database, name, options, byId.clone(), byRecord.clone(), null);
  }

  /** What a majority has of it, to be read only. */
  DocumentCollection committed() {
    if (uncommitted.isEmpty()) {
      return this;
    }
    DocumentCollection view = copy();
    for (Iterator<Change> each = uncommitted.descendingIterator(); each.hasNext();) {
      Change change = each.next();
      if (change.after() != null) {
        view.take(change.after());
      }
      if (change.before() != null) {
        view.put(change.before());
      }
    }
    return view;
  }

  /** The oldest change that was not committed is so now. */
  void commitOne() {
    uncommitted.removeFirst();
  }

  private void note(Stored before, Stored after) {
    if (majority != null && majority.notes(this)) {
      uncommitted.add(new Change(before, after));
    }
  }

  String database() {
    return database;
  }

  String name() {
    return name;
  }

  String fullName() {
    return database + "." + name;
  }

  boolean isView() {
    return options.containsKey("viewOn");
  }

  /** What the list of collections calls it. */
  String type() {
    return isView() ? "view" : options.containsKey("timeseries") ? "timeseries" : "collection";
  }

  boolean keepsBeforeImages() {
    return options.get("changeStreamPreAndPostImages") instanceof Document images
        && Types.isTrue(images.get("enabled"));
  }

  boolean isCapped() {
    return Types.isTrue(options.get("capped"));
  }

  int count() {
    return byId.size();
  }

  long bytes() {
    return bytes;
  }

  List<CollectionIndex> indexes() {
    return indexes;
  }

  void rename(String newDatabase, String newName) {
    database = newDatabase;
    name = newName;
  }

  NavigableMap<Object, Stored> inOrderOfId() {
    return byId;
  }

  NavigableMap<Long, Stored> inOrderOfComing() {
    return byRecord;
  }

  Stored find(Object id) {
    return byId.get(BsonOrder.key(id));
  }

  /** Add a document, or fail where its `_id` or a unique value is taken. */
  Stored insert(Object id, RawDocument raw) {
    Stored added = new Stored(nextRecord, id, raw);
    if (byId.containsKey(added.key())) {
      throw CollectionIndex.duplicate(this, CollectionIndex.ofId(), Arrays.asList(id));
    }
    indexes.forEach(index -> index.check(this, added));
    nextRecord++;
    note(null, added);
    put(added);
    return added;
  }

  /**
   * Put a document's new state in the place of the old one, so that a reader sees one of the two. The ids are equal, if
   * perhaps of two number types.
   */
  Stored replace(Stored old, Object id, RawDocument raw) {
    Stored changed = new Stored(old.record(), id, raw);
    indexes.forEach(index -> index.check(this, changed));
    note(old, changed);
    indexes.forEach(index -> index.remove(old));
    bytes -= old.raw().bytes().length;
    put(changed);
    return changed;
  }

  private void put(Stored added) {
    byRecord.put(added.record(), added);
    byId.put(added.key(), added);
    indexes.forEach(index -> index.add(added));
    bytes += added.raw().bytes().length;
  }

  void remove(Stored old) {
    note(old, null);
    take(old);
  }

  private void take(Stored old) {
    byId.remove(old.key());
    byRecord.remove(old.record());
    indexes.forEach(index -> index.remove(old));
    bytes -= old.raw().bytes().length;
  }

  /** The oldest documents that a capped collection must give up for what it now holds. */
  List<Stored> overflow() {
    List<Stored> over = new ArrayList<>();
    if (isCapped()) {
      long most = options.get("max") instanceof Number max ? max.longValue() : Long.MAX_VALUE;
      byRecord.values().stream().limit(Math.max(0, count() - most)).forEach(over::add);
    }
    return over;
  }

  void addIndex(CollectionIndex index) {
    indexes.add(index.filledFrom(byRecord.values()));
  }
}
