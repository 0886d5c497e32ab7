package penstock.source;

import de.bwaldvogel.mongo.*;
import de.bwaldvogel.mongo.backend.*;
import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.*;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.oplog.Oplog;
import io.netty.channel.Channel;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicLong;

public class SourceServer {
  static final Set<String> WRITES = Set.of("insert","update","delete","findandmodify","drop","dropdatabase","renamecollection","create");
  static class Cur { String db, coll; boolean all; boolean lookup; List<Document> match = new ArrayList<>(); long pos; boolean invalid; }
  static class RsBackend extends MemoryBackend implements Oplog {
    final String me; final int wire; final int cap;
    final ArrayDeque<Document> dummy = null;
    final ArrayList<Document> log = new ArrayList<>(); long base = 0;   // log.get(i) has sequence base+i
    final Object lock = new Object(); final Object w = new Object();
    final Map<Long,Cur> curs = new ConcurrentHashMap<>(); final AtomicLong ids = new AtomicLong(1L<<40);
    final List<Document> pend = new ArrayList<>(); long sec = 0; int inc = 0; final DefaultQueryMatcher qm = new DefaultQueryMatcher();
    RsBackend(String me, int wire, int cap){ this.cap = cap; this.me = me; this.wire = wire; oplog = this; }
    BsonTimestamp now(){ synchronized(lock){ return log.isEmpty() ? new BsonTimestamp(Instant.now(), 0) : (BsonTimestamp) log.get(log.size()-1).get("clusterTime"); } }
    static String tok(BsonTimestamp t){ return String.format("82%016X", t.getValue()); }
    long end(){ synchronized(lock){ return base + log.size(); } }
    Document ev(String op, String ns){
      String[] p = ns.split("\\.", 2);
      Document d = new Document("_id", null).append("operationType", op).append("clusterTime", null).append("wallTime", Instant.now());
      d.append("ns", p.length > 1 ? new Document("db",p[0]).append("coll",p[1]) : new Document("db",p[0])); return d; }
    Document post(String ns, Object id){ String[] p = ns.split("\\.",2); MongoCollection<?> c = resolveDatabase(p[0]).resolveCollection(p[1], false);
      if (c == null) return null; for (Document d : c.handleQuery(new Document("_id", id))) return d.cloneDeeply(); return null; }
    void flush(){ if (pend.isEmpty()) return; synchronized(lock){
      for (Document d : pend){ long s = Instant.now().getEpochSecond(); if (s > sec){ sec = s; inc = 0; } BsonTimestamp t = new BsonTimestamp((sec<<32)|(++inc));
        d.put("_id", new Document("_data", tok(t))); d.put("clusterTime", t); log.add(d); }
      if (log.size() > cap){ int k = log.size() - cap; log.subList(0,k).clear(); base += k; }
      lock.notifyAll(); } pend.clear(); }
    public void handleInsert(String ns, List<Document> ds){ for (Document d : ds) pend.add(ev("insert",ns).append("documentKey",new Document("_id",d.get("_id"))).append("fullDocument",d.cloneDeeply())); }
    void upd(String ns, Document q, Object id){ Document p = post(ns,id); Document e;
      boolean ops = !q.isEmpty() && q.keySet().iterator().next().startsWith("$");
      if (!ops) e = ev("replace",ns).append("documentKey",new Document("_id",id)).append("fullDocument",p);
      else { Document uf = new Document(); Set<String> rm = new TreeSet<>();
        for (String k : q.keySet()) for (String f : ((Document) q.get(k)).keySet()){ String top = f; Object v = p == null ? Missing.getInstance() : Utils.getSubdocumentValue(p, top); if (v instanceof Missing) rm.add(top); else uf.put(top, v); }
        e = ev("update",ns).append("documentKey",new Document("_id",id)).append("updateDescription",new Document("updatedFields",uf).append("removedFields",new ArrayList<>(rm)).append("truncatedArrays",new ArrayList<>())); }
      pend.add(e); }
    public void handleUpdate(String ns, Document sel, Document q, List<Object> idl){ for (Object id : idl) upd(ns,q,id); }
    public void handleDelete(String ns, Document q, List<Object> idl){ for (Object id : idl) pend.add(ev("delete",ns).append("documentKey",new Document("_id",id))); }
    public void handleDropCollection(String ns){ if (!ns.contains(".system.")) pend.add(ev("drop",ns)); }
    public Cursor createCursor(Document cs, String ns, Aggregation a){ throw new IllegalStateException(); }
    public Document handleCommand(Channel ch, String db, String cmd, Document q){
      String lc = cmd.toLowerCase();
      if (lc.equals("hello") || lc.equals("ismaster")){
        Document r = super.handleCommand(ch, db, "ismaster", q);
        r.append("isWritablePrimary",true).append("secondary",false).append("setName","rs0").append("setVersion",1).append("hosts",List.of(me)).append("primary",me).append("me",me)
         .append("logicalSessionTimeoutMinutes",30).append("readOnly",false).append("electionId",new ObjectId()).append("lastWrite",new Document("opTime",new Document("ts",now()).append("t",1L)).append("lastWriteDate",Instant.now()));
        r.remove("electionId"); if (q.containsKey("helloOk")) r.append("helloOk",true); return r; }
      if (lc.equals("aggregate")){ List<Document> pl = (List<Document>) (List<?>) q.get("pipeline");
        if (!pl.isEmpty() && pl.get(0).containsKey("$changeStream")) return open(db, q, pl); }
      if (lc.equals("getmore")){ Cur c = curs.get(((Number) q.get(cmd)).longValue()); if (c != null) return more(db, cmd, q, c); }
      if (lc.equals("killcursors")) { List<Object> l = (List<Object>) (List<?>) q.get("cursors"); boolean any = false; for (Object o : l) any |= curs.remove(((Number) o).longValue()) != null; if (any) return ok(new Document("cursorsKilled",l)); }
      if (!WRITES.contains(lc)) return stamp(super.handleCommand(ch, db, cmd, q));
      synchronized(w){
        try {
          List<Document> before = lc.equals("renamecollection") ? null : null;
          Document r = super.handleCommand(ch, db, cmd, q);
          if (lc.equals("insert") && r.get("writeErrors") != null){ List<Document> we = (List<Document>) (List<?>) r.get("writeErrors"); boolean ord = q.get("ordered") == null || Utils.isTrue(q.get("ordered"));
            if (ord) { int i = ((Number) we.get(0).get("index")).intValue(); while (pend.size() > i) pend.remove(pend.size()-1); }
            else { List<Integer> ix = new ArrayList<>(); for (Document e : we) ix.add(((Number) e.get("index")).intValue()); ix.sort(Comparator.reverseOrder()); for (int i : ix) if (i < pend.size()) pend.remove(i); } }
          if (lc.equals("findandmodify")){ String ns = db + "." + q.get(cmd); Document v = (Document) r.get("value"), le = (Document) r.get("lastErrorObject"); Object up = le == null ? null : le.get("upserted");
            if (Utils.isTrue(q.get("remove"))) { if (v != null) handleDelete(ns, null, List.of(v.get("_id"))); }
            else if (up != null) handleInsert(ns, List.of(post(ns, up))); else if (v != null) upd(ns, (Document) q.get("update"), v.get("_id")); }
          if (lc.equals("renamecollection")){ String to = (String) q.get("to"); String[] p = to.split("\\.",2); pend.add(ev("rename",(String) q.get(cmd)).append("to",new Document("db",p[0]).append("coll",p[1]))); }
          if (lc.equals("dropdatabase")) pend.add(ev("dropDatabase", db));
          flush(); return stamp(r);
        } finally { flush(); } } }
    Document ok(Document r){ r.append("ok",1.0); return stamp(r); }
    Document stamp(Document r){ r.append("operationTime", now()); return r; }
    Document open(String db, Document q, List<Document> pl){
      Document cs = (Document) pl.get(0).get("$changeStream"); Cur c = new Cur(); c.db = db; c.all = Utils.isTrue(cs.get("allChangesForCluster")); Object a = q.get("aggregate"); c.coll = a instanceof String s ? s : null;
      c.lookup = "updateLookup".equals(cs.get("fullDocument"));
      for (Document st : pl.subList(1,pl.size())) if (st.containsKey("$match")) c.match.add((Document) st.get("$match")); else if (!st.containsKey("$changeStreamSplitLargeEvent")) throw new MongoServerError(40324, "unsupported stage in stub: " + st.keySet());
      Document rs = (Document) cs.get("resumeAfter"); Document sa = (Document) cs.get("startAfter"); BsonTimestamp at = (BsonTimestamp) cs.get("startAtOperationTime"); Document t = rs != null ? rs : sa;
      synchronized(lock){
        if (t != null || at != null){ BsonTimestamp from;
          if (t != null){ Object d = t.get("_data"); if (!(d instanceof String s) || !s.matches("82[0-9A-F]{16}")) throw new MongoServerError(260, "InvalidResumeToken", "Bad resume token: " + d); from = new BsonTimestamp(Long.parseUnsignedLong(((String) d).substring(2),16)); } else from = at;
          if (base > 0 && from.compareTo((BsonTimestamp) log.get(0).get("clusterTime")) < 0) throw new MongoServerError(286, "ChangeStreamHistoryLost", "Resume of change stream was not possible, as the resume point may no longer be in the oplog.");
          int lo = 0, hi = log.size(); while (lo < hi){ int m = (lo+hi)>>>1; int k = ((BsonTimestamp) log.get(m).get("clusterTime")).compareTo(from); if (t != null ? k <= 0 : k < 0) lo = m+1; else hi = m; }
          c.pos = base + lo;
        } else c.pos = base + log.size(); }
      long id = ids.incrementAndGet(); curs.put(id, c); Object bs = q.get("cursor") instanceof Document d ? d.get("batchSize") : null;
      return batch(c, id, "firstBatch", bs == null ? 101 : ((Number) bs).intValue(), 0); }
    Document more(String db, String cmd, Document q, Cur c){ Object bs = q.get("batchSize"), mt = q.get("maxTimeMS");
      return batch(c, ((Number) q.get(cmd)).longValue(), "nextBatch", bs == null ? 10000 : ((Number) bs).intValue(), mt == null ? 1000 : ((Number) mt).longValue()); }
    boolean hit(Cur c, Document e){ Document n = (Document) e.get("ns"); if (!c.all && !c.db.equals(n.get("db"))) return false;
      String op = (String) e.get("operationType"); if (c.coll != null && !c.coll.equals(n.get("coll")) && !op.equals("dropDatabase")) return false; return true; }
    Document batch(Cur c, long id, String name, int max, long wait){
      List<Document> out = new ArrayList<>(); long end = System.nanoTime() + wait*1000000L; int bytes = 0; BsonTimestamp last; boolean inval = false;
      while (true){ List<Document> seg; synchronized(lock){
          if (c.pos < base) throw new MongoServerError(286, "ChangeStreamHistoryLost", "cursor fell off the oplog");
          int from = (int)(c.pos-base), to = Math.min(log.size(), from+2000); seg = new ArrayList<>(log.subList(from,to));
          if (seg.isEmpty()){ long left = (end-System.nanoTime())/1000000L; if (!out.isEmpty() || left <= 0){ last = now(); break; } try { lock.wait(left); } catch (InterruptedException x){} continue; } }
        boolean full = false;
        for (Document e : seg){ c.pos++; last = (BsonTimestamp) e.get("clusterTime"); if (!hit(c,e)) continue; Document o = new Document(e); String op = (String) e.get("operationType");
          if (op.equals("update") && c.lookup){ Document n = (Document) e.get("ns"); o.append("fullDocument", post(n.get("db")+"."+n.get("coll"), ((Document) e.get("documentKey")).get("_id"))); }
          boolean m = true; for (Document q : c.match) m &= qm.matches(o,q); if (m) { out.add(o); bytes += 1 + String.valueOf(o.get("fullDocument")).length(); }
          if (c.coll != null && (op.equals("drop") || op.equals("rename") || op.equals("dropDatabase")) || (c.coll == null && !c.all && op.equals("dropDatabase"))){ Document iv = new Document("_id",new Document("_data",tok(last))).append("operationType","invalidate").append("clusterTime",last).append("wallTime",Instant.now()); out.add(iv); inval = true; full = true; break; }
          if (out.size() >= max || bytes > 12_000_000){ full = true; break; } }
        if (full || (!out.isEmpty() && c.pos >= end())){ synchronized(lock){ last = (BsonTimestamp) log.get((int)(c.pos-1-base)).get("clusterTime"); } break; } }
      if (inval) curs.remove(id);
      return ok(new Document("cursor", new Document(name,out).append("postBatchResumeToken",new Document("_data",tok(last))).append("id", inval ? 0L : id).append("ns", c.db + "." + (c.coll == null ? "$cmd.aggregate" : c.coll)))); }
  }
  public static void main(String[] arguments) throws Exception {
    Map<String, String> flags = new HashMap<>();
    for (int i = 0; i < arguments.length; i++) {
      flags.put(arguments[i], arguments[i].equals("--one-time-per-command") ? "true" : arguments[++i]);
    }
    int port = Integer.parseInt(flags.getOrDefault("--port", "0"));
    if (port == 0) {
      try (java.net.ServerSocket probe = new java.net.ServerSocket(0)) { port = probe.getLocalPort(); }
    }
    int cap = Integer.parseInt(flags.getOrDefault("--log-size", "1000000"));
    RsBackend backend = new RsBackend("127.0.0.1:" + port, 13, cap);
    backend.version(new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
      public int getWireVersion() { return 13; }
    });
    MongoServer server = new MongoServer(backend);
    server.bind(new java.net.InetSocketAddress("127.0.0.1", port), 1, 64);
    System.out.println("READY " + port);
    while (System.in.read() >= 0) { }
    server.shutdownNow();
  }
}
