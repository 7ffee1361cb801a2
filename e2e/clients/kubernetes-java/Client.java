// io.kubernetes:client-java through the gateway.
//
// Behind the scenes: OkHttp, so HTTP/2 where the far end has it, JSON, `Accept-Encoding: gzip`. A watch is a GET whose body
// is read line by line. Exec and port-forward are WebSockets over HTTP/1.1 that offer `v4.channel.k8s.io` alone.
import io.kubernetes.client.Exec;
import io.kubernetes.client.PortForward;
import io.kubernetes.client.custom.V1Patch;
import io.kubernetes.client.openapi.ApiClient;
import io.kubernetes.client.openapi.ApiException;
import io.kubernetes.client.openapi.apis.CoreV1Api;
import io.kubernetes.client.openapi.models.V1ConfigMap;
import io.kubernetes.client.openapi.models.V1Container;
import io.kubernetes.client.openapi.models.V1ObjectMeta;
import io.kubernetes.client.openapi.models.V1Pod;
import io.kubernetes.client.openapi.models.V1PodSpec;
import io.kubernetes.client.util.ClientBuilder;
import io.kubernetes.client.util.PatchUtils;
import io.kubernetes.client.util.Watch;
import io.kubernetes.client.util.credentials.AccessTokenAuthentication;
import com.google.gson.reflect.TypeToken;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public final class Client {
    private static final Map<String, String> ENV = System.getenv();
    private static final String NAMESPACE = ENV.getOrDefault("E2E_KUBE_NAMESPACE", "default");
    private static final String NAME = "e2e-java-" + ProcessHandle.current().pid();
    private static final String POD = NAME + "-pod";

    private interface Check {
        void run() throws Exception;
    }

    private static ApiClient client(String token) throws Exception {
        ApiClient client = new ClientBuilder().setBasePath(ENV.get("E2E_KUBE_SERVER"))
            .setCertificateAuthority(Files.readAllBytes(Path.of(ENV.get("E2E_KUBE_CA"))))
            .setAuthentication(new AccessTokenAuthentication(token)).build();
        client.setReadTimeout(60_000);
        return client;
    }

    private static void expect(Object wanted, Object got) {
        if (!Objects.equals(wanted, got)) {
            throw new AssertionError("expected " + wanted + ", got " + got);
        }
    }

    private static void expectCode(int code, Check check) throws Exception {
        try {
            check.run();
        } catch (ApiException e) {
            expect(code, e.getCode());
            return;
        }
        throw new AssertionError("no error " + code);
    }

    private final ApiClient client;
    private final CoreV1Api core;

    private Client(String token) throws Exception {
        client = client(token);
        core = new CoreV1Api(client);
    }

    private void wrongToken() throws Exception {
        CoreV1Api wrong = new CoreV1Api(client("wrong"));
        expectCode(401, () -> wrong.listNamespacedPod(NAMESPACE).execute());
    }

    private void objects() throws Exception {
        String map = NAME + "-config";
        V1ObjectMeta meta = new V1ObjectMeta().name(map).putLabelsItem("e2e", NAME);
        core.createNamespacedConfigMap(NAMESPACE, new V1ConfigMap().metadata(meta).putDataItem("a", "ü")).execute();
        expect(Map.of("a", "ü"), core.readNamespacedConfigMap(map, NAMESPACE).execute().getData());
        V1Patch patch = new V1Patch("[{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"2\"}]");
        V1ConfigMap patched = PatchUtils.patch(V1ConfigMap.class,
            () -> core.patchNamespacedConfigMap(map, NAMESPACE, patch).buildCall(null), V1Patch.PATCH_FORMAT_JSON_PATCH, client);
        expect("2", patched.getData().get("b"));
        expect(1, core.listNamespacedConfigMap(NAMESPACE).labelSelector("e2e=" + NAME).execute().getItems().size());
        core.deleteNamespacedConfigMap(map, NAMESPACE).execute();
        expectCode(404, () -> core.readNamespacedConfigMap(map, NAMESPACE).execute());
    }

    private void watch() throws Exception {
        String map = NAME + "-watched";
        List<String> seen = new ArrayList<>();
        var call = core.listNamespacedConfigMap(NAMESPACE).fieldSelector("metadata.name=" + map).watch(true).buildCall(null);
        try (Watch<V1ConfigMap> watch = Watch.createWatch(client, call, new TypeToken<Watch.Response<V1ConfigMap>>() {}.getType())) {
            core.createNamespacedConfigMap(NAMESPACE, new V1ConfigMap().metadata(new V1ObjectMeta().name(map))).execute();
            core.deleteNamespacedConfigMap(map, NAMESPACE).execute();
            while (seen.size() < 2 && watch.hasNext()) {
                seen.add(watch.next().type);
            }
        }
        expect(List.of("ADDED", "DELETED"), seen);
    }

    private void pod() throws Exception {
        V1Container container = new V1Container().name("main").image("sh")
            .command(List.of("sh", "-c", "echo started; trap exit TERM; while :; do sleep 0.1; done"));
        // By itself the class sends an empty overhead, which no API server takes.
        V1PodSpec spec = new V1PodSpec().terminationGracePeriodSeconds(1L).addContainersItem(container).overhead(null);
        core.createNamespacedPod(NAMESPACE, new V1Pod().metadata(new V1ObjectMeta().name(POD)).spec(spec)).execute();
        for (int i = 0; i < 600; i++) {
            if ("Running".equals(core.readNamespacedPod(POD, NAMESPACE).execute().getStatus().getPhase())) {
                return;
            }
            Thread.sleep(50);
        }
        throw new AssertionError("the pod does not run");
    }

    private void logs() throws Exception {
        expect("started\n", core.readNamespacedPodLog(POD, NAMESPACE).container("main").execute());
    }

    private void exec() throws Exception {
        String[] command = {"sh", "-c", "printf 'out \\303\\274\\n'; printf 'err\\n' >&2; exit 7"};
        Process process = new Exec(client).exec(NAMESPACE, POD, command, "main", false, false);
        CompletableFuture<String> err = CompletableFuture.supplyAsync(() -> text(process.getErrorStream()));
        expect("out ü\n", text(process.getInputStream()));
        expect("err\n", err.get(30, TimeUnit.SECONDS));
        expect(7, process.waitFor());
        process.destroy();
    }

    private static String text(InputStream stream) {
        try {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    // Containers share the machine's network.
    private void forward() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            byte[] sent = "0123456789abcde\n".repeat(1 << 14).getBytes(StandardCharsets.US_ASCII);
            CompletableFuture.runAsync(() -> {
                try (Socket socket = server.accept()) {
                    socket.getInputStream().readNBytes(3);
                    socket.getOutputStream().write(sent);
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            int port = server.getLocalPort();
            var forward = new PortForward(client).forward(NAMESPACE, POD, List.of(port));
            var out = forward.getOutboundStream(port);
            out.write("go\n".getBytes(StandardCharsets.US_ASCII));
            out.flush();
            byte[] back = forward.getInputStream(port).readNBytes(sent.length);
            expect(new String(sent, StandardCharsets.US_ASCII), new String(back, StandardCharsets.US_ASCII));
        }
    }

    public static void main(String[] args) throws Exception {
        String file = ENV.get("DOORWARD_TOKEN_FILE");
        Client c = new Client(file == null ? ENV.get("E2E_KUBE_TOKEN") : Files.readString(Path.of(file)).strip());
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("wrong-token", c::wrongToken);
        checks.put("objects", c::objects);
        checks.put("watch", c::watch);
        checks.put("pod", c::pod);
        checks.put("logs", c::logs);
        checks.put("exec", c::exec);
        checks.put("forward", c::forward);
        boolean failed = false;
        for (var check : checks.entrySet()) {
            try {
                check.getValue().run();
                System.out.println("ok " + check.getKey());
            } catch (Throwable e) {
                failed = true;
                String said = String.valueOf(e).replace('\n', ' ');
                System.out.println("FAIL " + check.getKey() + ": " + said.substring(0, Math.min(400, said.length())));
            }
        }
        try {
            c.core.deleteNamespacedPod(POD, NAMESPACE).gracePeriodSeconds(0).execute();
        } catch (ApiException e) {
            // It was never made.
        }
        System.exit(failed ? 1 : 0);
    }
}
