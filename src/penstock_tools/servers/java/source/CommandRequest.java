package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;

/** One command as it came in. */
record CommandRequest(String name, Document command, String database, ClientConnection connection) {
  Object argument() {
    return command.get(name);
  }

  /** The collection that the command's own field names. */
  String collection() {
    if (argument() instanceof String collection && !collection.isEmpty()) {
      return collection;
    }
    throw new CommandError(
        CommandError.INVALID_NAMESPACE, "collection name has invalid type %s".formatted(Types.alias(argument())));
  }

  boolean has(String field) {
    return command.get(field) != null;
  }

  boolean flag(String field) {
    return Types.isTrue(command.get(field));
  }

  long number(String field, long otherwise) {
    Object value = command.get(field);
    if (value == null) {
      return otherwise;
    }
    if (value instanceof Number number) {
      return number.longValue();
    }
    throw CommandError.wrongType(name + "." + field, value, "number");
  }

  Document document(String field) {
    Object value = command.get(field);
    return value == null ? new Document() : Query.asDocument(value, name + "." + field);
  }

  /** An array of documents, in whichever section of the message it came. */
  List<Document> documents(String field) {
    Object value = command.getOrDefault(field, List.of());
    if (!(value instanceof List<?> list)) {
      throw CommandError.wrongType(name + "." + field, value, "array");
    }
    List<Document> documents = new ArrayList<>();
    list.forEach(each -> documents.add(Query.asDocument(each, name + "." + field)));
    return documents;
  }

  /** The session's id; null when the command came without one. */
  Document session() {
    return (Document) command.get("lsid");
  }

  /** Whether it reads what a majority has, by its own word or as a change stream does. */
  boolean readsMajority() {
    return "majority".equals(document("readConcern").get("level")) && !isInTransaction();
  }

  boolean isInTransaction() {
    return Boolean.FALSE.equals(command.get("autocommit"));
  }

  long transactionNumber() {
    return number("txnNumber", -1);
  }
}
