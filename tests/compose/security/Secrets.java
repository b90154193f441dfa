package standin;

import java.nio.file.Path;
import org.elasticsearch.common.settings.KeyStoreWrapper;

/** Stores the first password of `elastic` as the entry point of the official image does. */
public final class Secrets {
    private Secrets() {}

    public static void main(String[] args) throws Exception {
        try (KeyStoreWrapper secrets = KeyStoreWrapper.create()) {
            secrets.setString("bootstrap.password", System.getenv("ELASTIC_PASSWORD").toCharArray());
            secrets.save(Path.of(args[0]), new char[0]);
        }
    }
}
