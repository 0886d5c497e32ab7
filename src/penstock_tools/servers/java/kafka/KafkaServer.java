package penstock.kafka;

import java.io.FileInputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import kafka.tools.StorageTool;
import org.apache.kafka.common.utils.Time;

/**
 * One Kafka node, broker and controller, on the loopback address. Arguments: its properties file and the port of its
 * listener, which the properties name. Prints READY and the port; ends when standard input closes.
 */
public final class KafkaServer {
    private static final String CLUSTER_ID = "cGVuc3RvY2stbG9jYWwtMQ";

    private KafkaServer() {}

    public static void main(String[] arguments) throws Exception {
        Path file = Path.of(arguments[0]);
        Properties properties = new Properties();
        try (InputStream input = new FileInputStream(file.toFile())) {
            properties.load(input);
        }
        if (!Files.exists(Path.of(properties.getProperty("log.dirs"), "meta.properties"))) {
            format(file);
        }
        KafkaRaftServer server = new KafkaRaftServer(KafkaConfig.fromProps(properties), Time.SYSTEM);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            server.shutdown();
            server.awaitShutdown();
        }));
        server.startup();
        System.out.println("READY " + arguments[1]);
        System.out.flush();
        while (System.in.read() >= 0) {
            // nothing is ever written: the stream ends when the process that started this server does
        }
        System.exit(0);
    }

    private static void format(Path file) {
        PrintStream errors = System.err; // standard output is for READY alone
        String[] command = {"format", "--standalone", "-t", CLUSTER_ID, "-c", file.toString()};
        if (StorageTool.execute(command, errors) != 0) {
            throw new IllegalStateException("the folder of the log cannot be prepared");
        }
    }
}
