package penstock.source;

import de.bwaldvogel.mongo.bson.Document;
import java.util.Map;

/**
 * The login of the one user there is, by SCRAM-SHA-256 or SCRAM-SHA-1, by the subject of a certificate, or
 * by AWS credentials.
 */
final class Authentication {
  private final ServerOptions options;

  Authentication(ServerOptions options) {
    this.options = options;
  }

  void register(Map<String, CommandHandler> handlers) {
    handlers.put("saslStart", this::start);
    handlers.put("saslContinue", this::proceed);
    handlers.put("authenticate", this::authenticate);
  }

  static CommandError failed() {
    return new CommandError(18, "Authentication failed.");
  }

  private Document start(CommandRequest request) {
    LoginConversation conversation = conversation(String.valueOf(request.command().get("mechanism")));
    request.connection().login = conversation;
    return reply(conversation.begin(payload(request)), false);
  }

  private LoginConversation conversation(String mechanism) {
    if (options.awsKey() != null && mechanism.equals("MONGODB-AWS")) {
      return new AwsConversation(options.awsKey());
    }
    if (options.password() == null || options.user() == null) {
      throw failed();
    }
    return new ScramConversation(mechanism, options.user(), options.password());
  }

  private Document proceed(CommandRequest request) {
    LoginConversation conversation = request.connection().login;
    if (conversation == null) {
      throw failed();
    }
    byte[] answer = conversation.isDone() ? new byte[0] : conversation.finish(payload(request));
    return reply(answer, true);
  }

  private Document authenticate(CommandRequest request) {
    String subject = request.connection().subject();
    Object user = request.command().getOrDefault("user", subject);
    boolean isRight = options.asksForSubject() && options.user().equals(subject) && user.equals(subject);
    if (!isRight || !"MONGODB-X509".equals(request.command().get("mechanism"))) {
      throw failed();
    }
    request.connection().isSubjectKnown = true;
    return new Document("dbname", "$external").append("user", subject).append("ok", 1.0);
  }

  private static byte[] payload(CommandRequest request) {
    if (request.command().get("payload") instanceof Binary payload) {
      return payload.data();
    }
    throw failed();
  }

  private static Document reply(byte[] payload, boolean done) {
    return new Document("conversationId", 1).append("done", done).append("payload", new Binary(Binary.GENERIC, payload))
        .append("ok", 1.0);
  }
}
