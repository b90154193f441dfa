package stack.elasticsearch;

import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Starts one Elasticsearch node; the distribution's own launcher is in no package registry. */
public final class Launcher {
    private Launcher() {}

    public static void main(String[] args) throws Exception {
        // Elasticsearch refuses to log before these two calls.
        LogConfigurator.registerErrorListener();
        LogConfigurator.configureESLogging();
        Path config = Path.of(System.getProperty("es.path.conf"));
        Settings.Builder settings = Settings.builder().put("path.home", System.getProperty("es.path.home"));
        KeyStoreWrapper secrets = KeyStoreWrapper.load(config);
        if (secrets != null) {
            secrets.decrypt(new char[0]);
            settings.setSecureSettings(secrets);
        }
        Environment environment =
                InternalSettingsPreparer.prepareEnvironment(
                        settings.build(),
                        Map.of(),
                        config,
                        () -> "native");
        LogConfigurator.configure(environment, true);
        PluginsLoader plugins =
                PluginsLoader.createPluginsLoader(
                        PluginsLoader.loadModulesBundles(environment.modulesDir(), false),
                        PluginsLoader.loadPluginsBundles(environment.pluginsDir(), false),
                        Map.of(),
                        PluginsLoader.class.getModule().isNamed());
        Node node = new Node(environment, plugins);
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(node, stopped), "stop-node"));
        node.start();
        stopped.await();
    }

    private static void stop(Node node, CountDownLatch stopped) {
        try {
            node.prepareForClose();
            node.close();
            node.awaitClose(10, TimeUnit.SECONDS);
        } catch (Exception error) {
            System.err.println("The node did not close cleanly: " + error);
        } finally {
            stopped.countDown();
        }
    }
}
