package penstock.source;

import de.bwaldvogel.mongo.bson.Document;

/** A document as its BSON bytes: how documents are stored, and how they travel from an insert to a reply. */
record RawDocument(byte[] bytes) {
  /** The bytes as a value tree, decoded again at every call. */
  Document decoded() {
    return new BsonReader(bytes, 0).document();
  }
}
