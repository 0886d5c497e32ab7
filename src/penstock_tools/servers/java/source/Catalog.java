package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

/** All collections, by name and by identity. */
final class Catalog {
  private final ConcurrentSkipListMap<String, DocumentCollection> byName = new ConcurrentSkipListMap<>();
  private final Map<UUID, DocumentCollection> byUuid = new ConcurrentHashMap<>();
  private final Majority majority;

  Catalog(Majority majority) {
    this.majority = majority;
  }

  DocumentCollection find(String database, String collection) {
    return byName.get(database + "." + collection);
  }

  /** The collection with this identity, whatever its name is today; null when it was dropped. */
  DocumentCollection find(UUID uuid) {
    return byUuid.get(uuid);
  }

  DocumentCollection findOrCreate(String database, String collection) {
    DocumentCollection found = find(database, collection);
    return found != null ? found : create(database, collection, new Document());
  }

  DocumentCollection create(String database, String name, Document options) {
    if (name.isEmpty() || name.startsWith(".") || name.indexOf('\0') >= 0) {
      throw new CommandError(CommandError.INVALID_NAMESPACE, "Invalid collection name: '%s'".formatted(name));
    }
    if (find(database, name) != null) {
      throw new CommandError(48, "a collection '%s.%s' already exists".formatted(database, name));
    }
    DocumentCollection created = new DocumentCollection(database, name, options, majority);
    byName.put(created.fullName(), created);
    byUuid.put(created.uuid, created);
    return created;
  }

  void drop(DocumentCollection dropped) {
    byName.remove(dropped.fullName());
    byUuid.remove(dropped.uuid);
  }

  void rename(DocumentCollection collection, String database, String name) {
    byName.remove(collection.fullName());
    collection.rename(database, name);
    byName.put(collection.fullName(), collection);
  }

  List<DocumentCollection> all() {
    return new ArrayList<>(byName.values());
  }

  List<DocumentCollection> of(String database) {
    return all().stream().filter(collection -> collection.database().equals(database)).toList();
  }

  TreeSet<String> databases() {
    TreeSet<String> names = new TreeSet<>();
    all().forEach(collection -> names.add(collection.database()));
    return names;
  }
}
