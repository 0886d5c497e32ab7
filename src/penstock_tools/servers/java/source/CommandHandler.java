package penstock.source;

import de.bwaldvogel.mongo.bson.Document;

/** What a command does. */
interface CommandHandler {
  Document run(CommandRequest request);
}
