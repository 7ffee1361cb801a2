"""The Python client `kubernetes` through the gateway.

Behind the scenes: HTTP/1.1 and JSON alone, with kept connections. Exec, attach and port-forward are
WebSockets that offer `v5.channel.k8s.io` and `v4.channel.k8s.io`; port-forward is a data and an error channel for each port
and gets `v4`. Watches are GETs whose body is read line by line.
"""

import os
import sys
import threading
import time
import traceback

from kubernetes import client, utils, watch
from kubernetes.stream import portforward, stream

NAMESPACE = os.environ.get("E2E_KUBE_NAMESPACE", "default")
LIMIT = 60
NAME = f"e2e-python-{os.getpid()}"
POD = f"{NAME}-pod"


def token():
    if "DOORWARD_TOKEN_FILE" in os.environ:
        with open(os.environ["DOORWARD_TOKEN_FILE"], encoding="ascii") as file:
            return file.read().strip()
    return os.environ["E2E_KUBE_TOKEN"]


def api_client(bearer):
    settings = client.Configuration()
    settings.host = os.environ["E2E_KUBE_SERVER"]
    settings.ssl_ca_cert = os.environ["E2E_KUBE_CA"]
    settings.api_key["authorization"] = bearer
    settings.api_key_prefix["authorization"] = "Bearer"
    return client.ApiClient(settings)


API = api_client(token())
CORE = client.CoreV1Api(API)
APPS = client.AppsV1Api(API)


def expect(expected, actual):
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.200}, got {actual!r:.200}")


def refused(status, call):
    try:
        call()
    except client.ApiException as error:
        expect(status, error.status)
        return error
    raise AssertionError("not refused")


def wrong_token():
    refused(401, lambda: client.CoreV1Api(api_client("wrong")).list_namespaced_pod(NAMESPACE))


def version():
    expect("1", client.VersionApi(API).get_code().major)
    assert "v1" in client.CoreApi(API).get_api_versions().versions
    assert any(group.name == "apps" for group in client.ApisApi(API).get_api_versions().groups)


def objects():
    name = f"{NAME}-config"
    CORE.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name}, "data": {"a": "ü"}})
    try:
        expect({"a": "ü"}, CORE.read_namespaced_config_map(name, NAMESPACE).data)
        CORE.patch_namespaced_config_map(name, NAMESPACE, {"data": {"b": "2"}})
        found = CORE.read_namespaced_config_map(name, NAMESPACE)
        expect({"a": "ü", "b": "2"}, found.data)
        found.data = {"c": "3"}
        expect({"c": "3"}, CORE.replace_namespaced_config_map(name, NAMESPACE, found).data)
        refused(409, lambda: CORE.replace_namespaced_config_map(name, NAMESPACE, found))
    finally:
        CORE.delete_namespaced_config_map(name, NAMESPACE)
    refused(404, lambda: CORE.read_namespaced_config_map(name, NAMESPACE))


def pages():
    names = [f"{NAME}-page-{number}" for number in range(5)]
    for name in names:
        CORE.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name, "labels": {"page": NAME}}})
    try:
        found, rest = [], None
        while rest != "":
            page = CORE.list_namespaced_config_map(NAMESPACE, label_selector=f"page={NAME}", limit=2, _continue=rest or None)
            found += [item.metadata.name for item in page.items]
            rest = page.metadata._continue or ""
        expect(names, sorted(found))
    finally:
        CORE.delete_collection_namespaced_config_map(NAMESPACE, label_selector=f"page={NAME}")


def deployment():
    name = f"{NAME}-deployment"
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "sh"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    utils.create_from_dict(API, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}, namespace=NAMESPACE)
    try:
        APPS.patch_namespaced_deployment_scale(name, NAMESPACE, {"spec": {"replicas": 0}})
        expect(0, APPS.read_namespaced_deployment_scale(name, NAMESPACE).spec.replicas or 0)
    finally:
        APPS.delete_namespaced_deployment(name, NAMESPACE)


def watch_():
    name, seen = f"{NAME}-watched", []
    begun = CORE.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change():
        time.sleep(0.3)
        CORE.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name}})
        CORE.delete_namespaced_config_map(name, NAMESPACE)

    thread = threading.Thread(target=change)
    thread.start()
    watcher = watch.Watch()
    for event in watcher.stream(CORE.list_namespaced_config_map, NAMESPACE, resource_version=begun, timeout_seconds=20):
        if event["object"].metadata.name == name:
            seen.append(event["type"])
            if event["type"] == "DELETED":
                watcher.stop()
    thread.join()
    expect(["ADDED", "DELETED"], seen)


def make_pod():
    script = "echo started; trap exit TERM; while read line; do echo heard $line; done"
    spec = {"terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": "sh", "stdin": True, "command": ["sh", "-c", script]}]}
    CORE.create_namespaced_pod(NAMESPACE, {"metadata": {"name": POD, "labels": {"app": NAME}}, "spec": spec})
    deadline = time.time() + LIMIT
    while CORE.read_namespaced_pod(POD, NAMESPACE).status.phase != "Running":
        assert time.time() < deadline, "the pod does not run"
        time.sleep(0.2)


def run(command, data=None):
    """What a command prints on both streams, and its status."""
    socket = stream(CORE.connect_get_namespaced_pod_exec, POD, NAMESPACE, command=["sh", "-c", command], stderr=True,
                    stdin=data is not None, stdout=True, tty=False, _preload_content=False)
    expect("v5.channel.k8s.io", socket.subprotocol)
    if data is not None:
        socket.write_stdin(data)
        socket.close_channel(0)
    socket.run_forever(timeout=LIMIT)
    out, err = socket.read_stdout(), socket.read_stderr()
    return out, err, socket.returncode


def exec_():
    expect(("out ü\n", "err\n", 7), run("printf 'out \\303\\274\\n'; printf 'err\\n' >&2; exit 7"))
    expect(("", "", 0), run("true"))


def exec_stdin():
    # That the input ends is a message of v5.
    data = "".join(f"line {number}\n" for number in range(5000))
    expect((data, "", 0), run("cat", data))


def big_output():
    out, _, status = run("seq 1 500000")
    expect((3388895, 0), (len(out), status))


def exec_tty():
    out = stream(CORE.connect_get_namespaced_pod_exec, POD, NAMESPACE, command=["sh", "-c", "test -t 0 && echo terminal"],
                 stderr=False, stdin=True, stdout=True, tty=True)
    expect("terminal\r\n", out)


def log():
    expect("started\n", CORE.read_namespaced_pod_log(POD, NAMESPACE))


def attach():
    socket = stream(CORE.connect_get_namespaced_pod_attach, POD, NAMESPACE, stderr=True, stdin=True, stdout=True,
                    tty=False, _preload_content=False)
    socket.write_stdin("me\n")
    expect("heard me", socket.readline_stdout(timeout=LIMIT))
    socket.close()
    time.sleep(0.3)
    lines = []
    for line in watch.Watch().stream(CORE.read_namespaced_pod_log, POD, NAMESPACE):
        lines.append(line)
        if line == "heard me":
            break
    expect(["started", "heard me"], lines)


def forward():
    import http.server
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"x" * 1_000_000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    # Containers share the machine's network.
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    forwarded = portforward(CORE.connect_get_namespaced_pod_portforward, POD, NAMESPACE, ports=str(port))
    socket = forwarded.socket(port)
    socket.settimeout(LIMIT)
    socket.sendall(b"GET / HTTP/1.0\r\nHost: pod\r\n\r\n")
    got = b""
    while data := socket.recv(65536):
        got += data
    assert got.startswith(b"HTTP/1.0 200"), got[:100]
    expect(1_000_000, len(got.partition(b"\r\n\r\n")[2]))
    expect(None, forwarded.error(port))


def main():
    failed = False
    for name, check in [
        ("wrong-token", wrong_token), ("version", version), ("objects", objects), ("pages", pages), ("deployment", deployment),
        ("watch", watch_), ("pod", make_pod), ("log", log), ("exec", exec_), ("exec-stdin", exec_stdin), ("exec-tty", exec_tty),
        ("big-output", big_output), ("attach", attach), ("forward", forward),
    ]:
        try:
            check()
            print(f"ok {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            line = traceback.extract_tb(error.__traceback__)[-1].lineno if error.__traceback__ else 0
            print(f"FAIL {name}: {text[:400]} (line {line})", flush=True)
    try:
        CORE.delete_namespaced_pod(POD, NAMESPACE, grace_period_seconds=0)
    except client.ApiException:
        pass
    # Threads of the port-forward would keep the program alive.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


main()
