package penstock.source;

import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.List;

/** A cursor over the change log. */
final class ChangeStream extends OpenCursor {
  private static final int STRETCH = 1000;

  private final ServerState state;
  private final StreamRequest request;

  /** Whether it shows events at all: a stream that was not enabled may open, and shows none. */
  private final boolean admitted;
  private long sequence;
  private long notBefore;

  /** The token after which the stream goes on: its own event is passed over, a later one in its place is a loss. */
  private Token awaited;

  /** The event whose invalidate is still to be given. */
  private Event ending;

  /** Where the stream stands, and its time; after an event that it showed the position is not made yet. */
  private Document position;
  private long positionTime;
  private Event reached;

  ChangeStream(ServerState state, StreamRequest request, boolean atSecondary) {
    super(request.scope.namespace(), true);
    this.state = state;
    this.request = request;
    this.atSecondary = atSecondary;
    this.admitted = state.enabled.admits(request.scope);
    if (request.resume != null) {
      resumeAfter(request.resume);
    } else if (request.startTime != null) {
      startAt(request.startTime);
    } else {
      sequence = atSecondary ? state.log.firstAt(shownUpTo() + 1) : state.log.end();
      moveTo(state.dialect.opened(atSecondary ? shownUpTo() : state.clock.last()));
    }
  }

  /** The time up to which everything has come to this member, and is committed. */
  private long shownUpTo() {
    return atSecondary ? state.secondary.time() : state.majority.streamTime();
  }

  private void resumeAfter(Token token) {
    state.dialect.checkResume(token, request.scope, state, request.startsAfter);
    if (token.highWater() || state.dialect.resumesByPlace()) {
      sequence = state.log.firstAfter(token.time(), token.place());
    } else {
      sequence = state.log.firstAt(token.time());
      awaited = token;
    }
    position = request.resumeToken;
    positionTime = token.time();
  }

  private void startAt(long time) {
    if (Long.compareUnsigned(time, state.log.oldestTime()) < 0) {
      throw state.dialect.startLost();
    }
    sequence = state.log.firstAt(time);
    notBefore = time;
    moveTo(Token.from(time));
  }

  @Override
  Batch next(int most, long waitMillis) {
    Filling filling = new Filling(most);
    long deadline = System.nanoTime() + waitMillis * 1_000_000;
    checkNotInterrupted();
    int stretchSize = Math.min(STRETCH, state.eventsPerReply);
    while (!filling.isFull() && !interrupted) {
      ChangeLog.Stretch stretch = state.log.read(sequence, stretchSize, shownUpTo());
      if (stretch.lost()) {
        throw state.dialect.overtaken();
      }
      if (!stretch.events().isEmpty()) {
        filling.take(stretch.events());
        if (stretchSize < STRETCH) {
          break;
        }
      } else if (!filling.documents.isEmpty() || System.nanoTime() >= deadline) {
        moveTo(state.dialect.idle(stretch.quietSince()));
        break;
      } else {
        await(deadline);
      }
    }
    return new Batch(filling.documents, filling.ended, state.dialect.showsIdlePosition() ? position() : null);
  }

  /** A cursor that met a change of role ends at its next use; a wait under way just ends. */
  private void checkNotInterrupted() {
    if (interrupted) {
      throw new CommandError(11602, "operation was interrupted", state.dialect.resumableLabels());
    }
  }

  private void await(long deadline) {
    try {
      state.log.await(sequence, deadline, this::shownUpTo);
    } catch (InterruptedException e) {
      throw new CommandError(11602, "operation was interrupted");
    }
  }

  /** The event as this stream shows it, or null when it does not. */
  private RawDocument shown(Event event) {
    if (Long.compareUnsigned(event.time, notBefore) < 0 || !request.scope.sees(event, state.dialect)
        || !admitted || !state.enabled.covers(event)) {
      return null;
    }
    if (awaited != null && isStillAwaiting(event)) {
      return null;
    }
    ending = endsWith(event) ? event : null;
    Document token = token(event);
    return request.pipeline.rejects(event, token) ? null : bounded(event, token);
  }

  private boolean isStillAwaiting(Event event) {
    int difference = Token.of(event).compareTo(awaited);
    if (difference > 0) {
      throw state.dialect.tokenNotFound(request.resumeToken);
    }
    if (difference == 0) {
      ending = endsWith(event) && !awaited.invalidate() ? event : null;
      awaited = null;
    }
    return true;
  }

  private boolean endsWith(Event event) {
    return state.dialect.invalidates() && request.scope.endsWith(event);
  }

  /** Stand at a place that no event tells, if it is a later one. */
  private void moveTo(Token token) {
    if (position == null && reached == null || Long.compareUnsigned(token.time(), positionTime) > 0) {
      position = state.dialect.token(token, Token.NO_KEY);
      positionTime = token.time();
    }
  }

  private Document position() {
    if (position == null && reached != null) {
      position = token(reached);
    }
    return position;
  }

  private Document token(Event event) {
    return state.dialect.token(Token.of(event), key(event));
  }

  private static Object key(Event event) {
    return event.documentKey == null ? Token.NO_KEY : event.documentKey.get("_id");
  }

  private RawDocument bounded(Event event, Document token) {
    boolean lookUp = event.isUpdate() && request.looksUp;
    Document document = state.dialect.shown(event, token, lookUp ? lookedUp(event) : null, lookUp);
    if (request.showsBefore && event.hasBefore()) {
      document.append("fullDocumentBeforeChange", before(event, token));
    }
    request.pipeline.leaveOut(document);
    RawDocument raw = new RawDocument(BsonWriter.encode(document));
    if (request.pipeline.hasSteps()) {
      Document left = request.pipeline.apply(raw.decoded());
      if (left == null) {
        return null;
      }
      checkToken(token, left);
      raw = new RawDocument(BsonWriter.encode(left));
    }
    int size = raw.bytes().length;
    if (size > Limits.EVENT_BYTES) {
      throw new CommandError(
          10334,
          ("BSONObj size: %d (0x%X) is invalid. Size must be between 0 and 16793600(16MB)"
              + " First element: _id: { _data: \"%s\" }").formatted(size, size, token.get("_data")));
    }
    return raw;
  }

  private RawDocument before(Event event, Document token) {
    if (event.before == null && request.requiresBefore) {
      throw new CommandError(47,
          ("Change stream was configured to require a pre-image for all update, delete and replace events, but the"
              + " pre-image was not found for event: { _data: \"%s\" }").formatted(token.get("_data")),
          state.dialect.fatalLabels());
    }
    return event.before;
  }

  private void checkToken(Document token, Document left) {
    if (state.dialect.guardsTokens() && !token.equals(left.get("_id"))) {
      Document found = left.containsKey("_id") ? new Document("_id", left.get("_id")) : new Document();
      throw new CommandError(280,
          ("Encountered an event whose _id field, which contains the resume token, was modified by the pipeline."
              + " Modifying the _id field of an event makes it impossible to resume the stream from that point. Only"
              + " transformations that retain the unmodified _id field are allowed. Expected: { _id: { _data: \"%s\" } }"
              + " but found: %s").formatted(token.get("_data"), Types.text(found)),
          state.dialect.fatalLabels());
    }
  }

  /** The document as it is now, in the collection that the event was about, under whatever name. */
  private RawDocument lookedUp(Event event) {
    DocumentCollection collection = state.catalog.find(event.uuid);
    DocumentCollection.Stored found = collection == null ? null
        : state.majority.shownBy(collection).find(event.documentKey.get("_id"));
    return found == null ? null : found.raw();
  }

  private RawDocument invalidate(Event event) {
    Token token = state.dialect.invalidateToken(Token.of(event));
    position = state.dialect.token(token, key(event));
    Document document = new Document("_id", position).append("operationType", "invalidate").append("clusterTime",
        new BsonTimestamp(event.time));
    Document shown = request.pipeline.shown(document);
    return shown == null ? null : new RawDocument(BsonWriter.encode(shown));
  }

  /** One batch as it fills. */
  private final class Filling {
    private final int most;
    private final List<RawDocument> documents = new ArrayList<>();
    private long bytes;
    private boolean overflowing;
    private boolean ended;

    Filling(int most) {
      this.most = most;
      endWhenDue();
    }

    boolean isFull() {
      return documents.size() >= most || overflowing || ended;
    }

    void take(List<Event> events) {
      for (int i = 0; i < events.size() && !isFull(); i++) {
        take(events.get(i));
        endWhenDue();
      }
    }

    private void take(Event event) {
      RawDocument document = shown(event);
      if (document != null) {
        int size = document.bytes().length;
        if (bytes + size > Limits.DOCUMENT_BYTES && !documents.isEmpty()) {
          overflowing = true;
          return;
        }
        bytes += size;
        documents.add(document);
        reached = event;
        position = null;
        positionTime = event.time;
      } else {
        moveTo(state.dialect.passed(event));
      }
      sequence++;
    }

    private void endWhenDue() {
      if (ending != null && documents.size() < most && !overflowing) {
        RawDocument invalidate = invalidate(ending);
        if (invalidate != null) {
          documents.add(invalidate);
        }
        ended = true;
      }
    }
  }
}
