package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketException;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSocket;

/** One client: reads its messages one after another and answers each, on a thread of its own. */
final class ClientConnection implements Runnable {
  private static final int OP_REPLY = 1;
  private static final int OP_QUERY = 2004;
  private static final int OP_MSG = 2013;
  private static final int HEADER = 16;
  private static final int CHECKSUM_PRESENT = 1;
  private static final int MORE_TO_COME = 2;

  /** Thrown to end the connection without an answer. */
  static final class Closed extends RuntimeException {
    Closed() {
      super(null, null, false, false);
    }
  }

  private final Socket socket;
  private final Commands commands;
  private int nextReply;

  /** The conversation of a login under way, and whether one has succeeded. */
  LoginConversation login;

  /** Whether the client's certificate has logged in. */
  boolean isSubjectKnown;

  ClientConnection(Socket socket, Commands commands) {
    this.socket = socket;
    this.commands = commands;
  }

  boolean isLoggedIn() {
    return isSubjectKnown || login != null && login.isDone();
  }

  /** The subject of the client's certificate; null without one. */
  String subject() {
    try {
      return socket instanceof SSLSocket secure ? secure.getSession().getPeerPrincipal().getName() : null;
    } catch (SSLPeerUnverifiedException e) {
      return null;
    }
  }

  int serverPort() {
    return socket.getLocalPort();
  }

  void close() {
    try {
      socket.close();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Override
  public void run() {
    commands.faults.opened(this);
    try (socket;
        DataInputStream in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 1 << 16))) {
      OutputStream out = socket.getOutputStream();
      while (true) {
        BsonWriter reply = answer(message(in));
        if (reply != null) {
          out.write(reply.buffer(), 0, reply.size());
        }
      }
    } catch (EOFException | SocketException | Closed e) {
      return;
    } catch (IOException | RuntimeException e) {
      System.err.println("a connection ends: " + e);
    } finally {
      commands.faults.closed(this);
    }
  }

  private static BsonReader message(DataInputStream in) throws IOException {
    int length = Integer.reverseBytes(in.readInt());
    if (length < HEADER || length > Limits.MESSAGE_BYTES + HEADER) {
      throw new IOException("a message of %d bytes".formatted(length));
    }
    byte[] message = new byte[length];
    in.readFully(message, 4, length - 4);
    return new BsonReader(message, 4);
  }

  /** The reply's bytes, or null when none is wanted. */
  private BsonWriter answer(BsonReader message) {
    int id = message.int32();
    message.int32();
    int operation = message.int32();
    return switch (operation) {
      case OP_MSG -> answerMessage(message, id);
      case OP_QUERY -> answerQuery(message, id);
      default -> throw new IllegalArgumentException("the operation code %d".formatted(operation));
    };
  }

  private BsonWriter answerMessage(BsonReader message, int id) {
    int flags = message.int32();
    int end = message.data.length - ((flags & CHECKSUM_PRESENT) != 0 ? 4 : 0);
    Document command = new Document();
    Document sequences = new Document();
    while (message.position < end) {
      if (message.int8() == 0) {
        command = message.document();
      } else {
        readSequence(message, sequences);
      }
    }
    command.putAll(sequences);
    Document reply = commands.run(command, (String) command.get("$db"), this);
    if ((flags & MORE_TO_COME) != 0) {
      return null;
    }
    BsonWriter writer = begin(id, OP_MSG);
    writer.int32(0);
    writer.int8(0);
    writer.document(reply);
    return finish(writer);
  }

  private static void readSequence(BsonReader message, Document sequences) {
    int end = message.position + message.int32();
    String name = message.cString();
    List<RawDocument> documents = new ArrayList<>();
    while (message.position < end) {
      documents.add(message.rawDocument());
    }
    sequences.append(name, documents);
  }

  /** The old form, in which drivers say hello. */
  private BsonWriter answerQuery(BsonReader message, int id) {
    message.int32();
    String name = message.cString();
    message.int32();
    message.int32();
    Document command = message.document();
    if (command.get("$query") instanceof Document wrapped) {
      command = wrapped;
    }
    String database = name.substring(0, name.indexOf('.'));
    Document reply = commands.run(command, database, this);
    BsonWriter writer = begin(id, OP_REPLY);
    writer.int32(8);
    writer.int64(0);
    writer.int32(0);
    writer.int32(1);
    writer.document(reply);
    return finish(writer);
  }

  private BsonWriter begin(int to, int operation) {
    BsonWriter writer = new BsonWriter();
    writer.int32(0);
    writer.int32(++nextReply);
    writer.int32(to);
    writer.int32(operation);
    return writer;
  }

  private static BsonWriter finish(BsonWriter writer) {
    writer.setInt32(0, writer.size());
    return writer;
  }
}
