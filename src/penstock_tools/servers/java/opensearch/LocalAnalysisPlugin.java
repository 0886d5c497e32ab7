package penstock.opensearch;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.th.ThaiTokenizer;
import org.opensearch.analysis.common.CommonAnalysisModulePlugin;
import org.opensearch.index.analysis.AnalyzerProvider;
import org.opensearch.index.analysis.PreBuiltAnalyzerProviderFactory;
import org.opensearch.index.analysis.PreConfiguredTokenizer;
import org.opensearch.index.analysis.TokenizerFactory;
import org.opensearch.indices.analysis.AnalysisModule.AnalysisProvider;

/**
 * The language analyzers, without the Thai ones where Java has no locale for Thai: OpenSearch builds every analyzer for
 * every index, and one that cannot be built makes each creation of an index fail.
 */
public final class LocalAnalysisPlugin extends CommonAnalysisModulePlugin {
    private static final String THAI = "thai";

    @Override
    public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
        return supported(super.getAnalyzers());
    }

    @Override
    public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
        return supported(super.getTokenizers());
    }

    @Override
    public List<PreBuiltAnalyzerProviderFactory> getPreBuiltAnalyzerProviderFactories() {
        return super.getPreBuiltAnalyzerProviderFactories().stream()
                .filter(analyzer -> isSupported(analyzer.getName()))
                .toList();
    }

    @Override
    public List<PreConfiguredTokenizer> getPreConfiguredTokenizers() {
        return super.getPreConfiguredTokenizers().stream()
                .filter(tokenizer -> isSupported(tokenizer.getName()))
                .toList();
    }

    private static <T> Map<String, T> supported(Map<String, T> providers) {
        Map<String, T> kept = new TreeMap<>(providers);
        kept.keySet().removeIf(name -> !isSupported(name));
        return kept;
    }

    private static boolean isSupported(String name) {
        return ThaiTokenizer.DBBI_AVAILABLE || !name.equals(THAI);
    }
}
