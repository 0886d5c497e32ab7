package penstock.source;

import de.bwaldvogel.mongo.bson.Document;

/** What a command does. */
interface Handler {
  Document run(Request request);
}
