package stack.elasticsearch;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.elasticsearch.ElasticsearchStatusException;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.http.HttpPreRequest;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.http.HttpServerTransport.Dispatcher;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.telemetry.TelemetryProvider;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.TransportInterceptor;
import org.elasticsearch.transport.TransportRequest;
import org.elasticsearch.transport.TransportRequestHandler;
import org.elasticsearch.transport.TransportService;
import org.elasticsearch.transport.netty4.Netty4Plugin;
import org.elasticsearch.xcontent.NamedXContentRegistry;

/**
 * The network layer with one account, `elastic`, whose password is in STACK_ELASTIC_PASSWORD.
 *
 * <p>Every HTTP request has to log in, so neither other users of the machine nor websites in a browser
 * are answered. The node is alone, so it also refuses every request of the protocol between nodes that
 * arrives over the network. Without a password, everything is allowed: then Elastic's own security,
 * where it is installed, decides.
 */
public final class AccessPlugin extends Netty4Plugin {
    private static final String USER = "elastic";
    private static final String BODY =
            """
            {"error":{"type":"security_exception","reason":"%s is needed: curl --user elastic:…, with \
            ELASTIC_PASSWORD of .env"},"status":401}
            """;

    private final byte[] expected = expectedHeader(System.getenv("STACK_ELASTIC_PASSWORD"));

    private static byte[] expectedHeader(String password) {
        if (password == null || password.isEmpty()) {
            return null;
        }
        byte[] login = (USER + ":" + password).getBytes(StandardCharsets.UTF_8);
        return ("Basic " + Base64.getEncoder().encodeToString(login)).getBytes(StandardCharsets.US_ASCII);
    }

    @Override
    public Map<String, Supplier<HttpServerTransport>> getHttpTransports(
            Settings settings,
            ThreadPool threadPool,
            BigArrays bigArrays,
            PageCacheRecycler pageCacheRecycler,
            CircuitBreakerService circuitBreakerService,
            NamedXContentRegistry xContentRegistry,
            NetworkService networkService,
            Dispatcher dispatcher,
            BiConsumer<HttpPreRequest, ThreadContext> perRequestThreadContext,
            ClusterSettings clusterSettings,
            TelemetryProvider telemetryProvider) {
        return super.getHttpTransports(
                settings,
                threadPool,
                bigArrays,
                pageCacheRecycler,
                circuitBreakerService,
                xContentRegistry,
                networkService,
                expected == null ? dispatcher : new AccessDispatcher(dispatcher, expected),
                perRequestThreadContext,
                clusterSettings,
                telemetryProvider);
    }

    @Override
    public List<TransportInterceptor> getTransportInterceptors(
            NamedWriteableRegistry namedWriteableRegistry, ThreadContext threadContext) {
        return expected == null ? List.of() : List.of(new LocalOnly());
    }

    private record AccessDispatcher(Dispatcher next, byte[] expected) implements Dispatcher {
        @Override
        public void dispatchRequest(RestRequest request, RestChannel channel, ThreadContext threadContext) {
            String header = request.header("Authorization");
            byte[] given = header == null ? new byte[0] : header.getBytes(StandardCharsets.UTF_8);
            if (MessageDigest.isEqual(given, expected)) {
                next.dispatchRequest(request, channel, threadContext);
                return;
            }
            String what = header == null ? "a password" : "the right password";
            RestResponse answer =
                    new RestResponse(RestStatus.UNAUTHORIZED, "application/json", BODY.formatted(what));
            answer.addHeader("WWW-Authenticate", "Basic realm=\"elasticsearch\", charset=\"UTF-8\"");
            channel.sendResponse(answer);
        }

        @Override
        public void dispatchBadRequest(RestChannel channel, ThreadContext threadContext, Throwable cause) {
            next.dispatchBadRequest(channel, threadContext, cause);
        }
    }

    private static final class LocalOnly implements TransportInterceptor {
        @Override
        public <T extends TransportRequest> TransportRequestHandler<T> interceptHandler(
                String action, Executor executor, boolean forceExecution, TransportRequestHandler<T> handler) {
            return (request, channel, task) -> {
                // A node calls itself directly and not over the network.
                if (!channel.getProfileName().equals(TransportService.DIRECT_RESPONSE_PROFILE)) {
                    throw new ElasticsearchStatusException(
                            "this node accepts no requests of other nodes", RestStatus.UNAUTHORIZED);
                }
                handler.messageReceived(request, channel, task);
            };
        }
    }
}
