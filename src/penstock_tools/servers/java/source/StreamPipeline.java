package penstock.source;

import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.backend.aggregation.stage.AggregationStage;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** The stages after `$changeStream`. */
final class StreamPipeline {
  private static final Set<String> FORBIDDEN = Set.of(
      "$group", "$sort", "$limit", "$skip", "$lookup", "$sample", "$unwind", "$bucket", "$bucketAuto", "$indexStats",
      "$collStats", "$graphLookup", "$geoNear");

  /** A step gives the changed event, or null when it filters it out. */
  private interface Step {
    Document apply(Document event);
  }

  private final List<Step> steps = new ArrayList<>();
  private final Set<String> leftOut = new HashSet<>();
  private Query early;

  /** What `early` says of events, as long as it looks at nothing else of them. */
  private final Map<Kind, Boolean> earlyAnswers = new HashMap<>();

  private record Kind(String type, String database, String collection) {}

  StreamPipeline(List<Document> stages, Dialect dialect) {
    for (Document stage : stages) {
      dialect.checkStreamStage(stage);
      add(nameOf(stage, dialect), stage);
    }
  }

  private static String nameOf(Document stage, Dialect dialect) {
    if (stage.size() != 1) {
      throw new CommandError(40323, "A pipeline stage specification object must contain exactly one field.");
    }
    String name = stage.keySet().iterator().next();
    if (dialect.streamStages().contains(name)) {
      return name;
    }
    throw refusal(name, dialect);
  }

  private static CommandError refusal(String name, Dialect dialect) {
    return switch (name) {
      case "$changeStream" -> new CommandError(40602, "$changeStream is only valid as the first stage in a pipeline.");
      case "$currentOp" -> new CommandError(CommandError.INVALID_NAMESPACE,
          "$currentOp must be run against the 'admin' database with {aggregate: 1}");
      case "$listSessions" -> new CommandError(CommandError.INVALID_NAMESPACE,
          "$listSessions may only be run against config.system.sessions");
      case "$out" ->
        new CommandError(CommandError.INVALID_OPTIONS, "$out cannot be used with a 'majority' read concern level");
      case "$facet" -> new CommandError(CommandError.BAD_VALUE, "sub-pipeline in $facet stage cannot be empty");
      case "$count", "$sortByCount" -> notPermitted("$group");
      default ->
        FORBIDDEN.contains(name) || dialect.newerForbiddenStages().contains(name) ? notPermitted(name) : unknown(name);
    };
  }

  private static CommandError notPermitted(String name) {
    return new CommandError(CommandError.ILLEGAL_OPERATION, name + " is not permitted in a $changeStream pipeline");
  }

  private static CommandError unknown(String name) {
    return new CommandError(40324, "Unrecognized pipeline stage name: '%s'".formatted(name));
  }

  private void add(String name, Document stage) {
    Object argument = stage.get(name);
    if (name.equals("$match")) {
      Query query = Query.of(Query.asDocument(argument, "$match"));
      if (steps.isEmpty() && leftOut.isEmpty() && early == null
          && !query.looksAt("fullDocument") && !query.looksAt("updateDescription")) {
        early = query;
      } else {
        steps.add(event -> query.matches(event) ? event : null);
      }
    } else if (name.equals("$project") && steps.isEmpty() && argument instanceof Document fields && leavesOut(fields)) {
      leftOut.addAll(fields.keySet());
    } else if (name.equals("$project") && argument instanceof Document fields && Projection.isPlain(fields)) {
      steps.add(Projection.of(fields)::apply);
    } else {
      AggregationStage library = libraryStage(stage);
      steps.add(event -> library.apply(Stream.of(event)).findFirst().orElse(null));
    }
  }

  /** Whether a projection only leaves out whole fields of the event. */
  private static boolean leavesOut(Document fields) {
    return !fields.isEmpty() && Projection.isPlain(fields) && fields.entrySet().stream().noneMatch(
        field -> Types.isTrue(field.getValue()) || field.getKey().equals("_id") || field.getKey().contains("."));
  }

  /** A stage as the library knows it, which lacks the newer names. */
  static AggregationStage libraryStage(Document stage) {
    if (stage.containsKey("$set")) {
      return libraryStage(new Document("$addFields", stage.get("$set")));
    }
    if (stage.containsKey("$replaceWith")) {
      return libraryStage(new Document("$replaceRoot", new Document("newRoot", stage.get("$replaceWith"))));
    }
    if (stage.get("$redact") instanceof String decision) {
      return libraryStage(new Document("$redact", new Document("$cond", List.of(true, decision, decision))));
    }
    return Aggregation.fromPipeline(List.of(stage), null, null, null, null).getStages().getFirst();
  }

  /** Whether an event is filtered out by what does not depend on its documents. */
  boolean rejects(Event event, Document token) {
    if (early == null) {
      return false;
    }
    if (early.looksAt("_id") || early.looksAt("clusterTime") || early.looksAt("documentKey")) {
      return !early.matches(event.outline(token));
    }
    Kind kind = new Kind(event.type, event.database, event.collection);
    return !earlyAnswers.computeIfAbsent(kind, ignored -> early.matches(event.outline(token)));
  }

  /** What all stages leave of an event without documents; null when it is filtered out. */
  Document shown(Document event) {
    if (early != null && !early.matches(event)) {
      return null;
    }
    leaveOut(event);
    return apply(event);
  }

  /** Take out of an event what the first stages leave out; so it need not be encoded for them. */
  void leaveOut(Document event) {
    leftOut.forEach(event::remove);
  }

  boolean hasSteps() {
    return !steps.isEmpty();
  }

  /** Run the stages over a decoded event; null when it is filtered out. */
  Document apply(Document event) {
    Document shown = event;
    for (Step step : steps) {
      if (shown == null) {
        return null;
      }
      shown = step.apply(shown);
    }
    return shown;
  }
}
