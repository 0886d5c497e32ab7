package penstock.opensearch;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.codelibs.opensearch.runner.node.OpenSearchRunnerNode;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.geo.GeoModulePlugin;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.index.mapper.MapperExtrasModulePlugin;
import org.opensearch.index.rankeval.RankEvalModulePlugin;
import org.opensearch.index.reindex.ReindexModulePlugin;
import org.opensearch.ingest.common.IngestCommonModulePlugin;
import org.opensearch.join.ParentJoinModulePlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessModulePlugin;
import org.opensearch.percolator.PercolatorModulePlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.script.expression.ExpressionModulePlugin;
import org.opensearch.script.mustache.MustacheModulePlugin;
import org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin;
import org.opensearch.transport.Netty4ModulePlugin;

/**
 * One OpenSearch node on the loopback address. Arguments: its folder (with config/log4j2.properties in it), then
 * settings as name=value. Prints READY and the HTTP port; ends when standard input closes.
 */
public final class OpenSearchServer {
    private static final List<Class<? extends Plugin>> MODULES = List.of(
            LocalAnalysisPlugin.class,
            ExpressionModulePlugin.class,
            GeoModulePlugin.class,
            IngestCommonModulePlugin.class,
            MapperExtrasModulePlugin.class,
            MatrixAggregationModulePlugin.class,
            MustacheModulePlugin.class,
            Netty4ModulePlugin.class,
            PainlessModulePlugin.class,
            ParentJoinModulePlugin.class,
            PercolatorModulePlugin.class,
            RankEvalModulePlugin.class,
            ReindexModulePlugin.class);

    private OpenSearchServer() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream output = System.out; // the log configuration may replace System.out
        Node node = start(Path.of(arguments[0]), List.of(arguments).subList(1, arguments.length));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
        int port = node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort();
        output.println("READY " + port);
        output.flush();
        while (System.in.read() >= 0) {
            // nothing is ever written: the stream ends when the process that started this server does
        }
        System.exit(0);
    }

    private static Node start(Path home, List<String> settings) throws Exception {
        Settings.Builder builder = Settings.builder().put("path.home", home.toAbsolutePath());
        for (String setting : settings) {
            String[] parts = setting.split("=", 2);
            builder.put(parts[0], parts[1]);
        }
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
                builder.build(), Map.of(), home.resolve("config"), () -> "local");
        LogConfigurator.registerErrorListener();
        LogConfigurator.configure(environment);
        return new OpenSearchRunnerNode(environment, MODULES).start();
    }

    private static void close(Node node) {
        try {
            node.close();
        } catch (IOException error) {
            error.printStackTrace();
        }
    }
}
