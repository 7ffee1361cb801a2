"""The servers of one run over Kubernetes: a cluster of the tests, `kubectl proxy`, Doorward. Each is stopped by its own pid."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .parts import Process, find, free_port, settings

REPO = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("DOORWARD_TEST_CACHE", REPO / ".cache"))
KUBECTL = CACHE / "kubernetes/kubectl"
POLICY = REPO / "bench/kubernetes.cedar"
DIRECT, PROXY, OURS, CLEAR = "direct", "kubectl-proxy", "doorward", "doorward-clear"
NAMESPACE, POD, MANY = "bench", "bench", 5000


@dataclass
class Target:
    """What a client connects to."""

    name: str
    url: str
    ca: Path | None  # None where it is in clear
    token: str | None
    pid: int | None  # of the proxy; None where there is none
    kubeconfig: Path | None = None
    recordings: Path | None = None

    def tls(self):
        return ssl.create_default_context(cafile=self.ca) if self.ca else None

    def headers(self, accept="application/json"):
        return {"Accept": accept} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def kubectl(self, *args):
        return [str(KUBECTL), f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}", *args]

    def forget(self):
        """Removes the recordings of sessions that are over: bulk would fill the disk with them."""
        for path in self.recordings.glob("*.dwr") if self.recordings else ():
            path.unlink()


def write_kubeconfig(path, url, ca, user):
    """JSON is YAML."""
    cluster = {"server": url} | ({"certificate-authority": str(ca)} if ca else {})
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}], "users": [{"name": "bench", "user": user}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }  # fmt: skip
    path.write_text(json.dumps(config))
    return path


class Cluster:
    """The cluster of crates/testkit, started by its test for trying things by hand."""

    def __init__(self, folder):
        if os.getuid() != 0:
            sys.exit("bench: the cluster's node needs root")
        args = ["cargo", "test", "--workspace", "--no-run", "--message-format=json", "--test", "kubernetes"]
        built = subprocess.run(args, cwd=REPO, check=True, capture_output=True, text=True).stdout
        messages = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
        programs = [m["executable"] for m in messages if m.get("executable") and "/testkit/" in m["manifest_path"]]
        log = folder / "cluster.log"
        with open(log, "wb") as out:
            args = [programs[0], "--ignored", "--nocapture", "a_cluster_to_try_by_hand"]
            self.child = subprocess.Popen(args, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=REPO)
        self.admin = self._wait(log)
        cluster = json.loads(self.admin.read_text())["clusters"][0]["cluster"]
        self.url, self.ca = cluster["server"], Path(cluster["certificate-authority"])

    def _wait(self, log):
        for _ in range(1200):
            if found := re.search(r"KUBECONFIG=(\S+)", log.read_text(errors="replace")):
                return Path(found.group(1))
            if self.child.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"bench: the cluster did not start:\n{log.read_text(errors='replace')[-2000:]}")

    def kubectl(self, *args, stdin=None):
        args = [str(KUBECTL), f"--kubeconfig={self.admin}", *args]
        done = subprocess.run(args, input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: kubectl {' '.join(args[2:6])}: {done.stderr[-1000:]}")
        return done.stdout.strip()

    def token(self):
        """Of an account that may do everything: the gateway's, and of who is measured directly."""
        for args in (["namespace", "doorward"], ["serviceaccount", "gateway", "-n", "doorward"]):
            self.kubectl("create", *args)
        self.kubectl("create", "clusterrolebinding", "gateway", "--clusterrole=cluster-admin", "--serviceaccount=doorward:gateway")
        return self.kubectl("create", "token", "gateway", "-n", "doorward", "--duration=24h")

    def fill(self, many):
        """A pod that runs, one object to get, and pods that nobody schedules in a namespace of their own."""
        for namespace in (NAMESPACE, "many"):
            self.kubectl("create", "namespace", namespace)
        for namespace in (NAMESPACE, "many"):
            for _ in range(100):
                args = [str(KUBECTL), f"--kubeconfig={self.admin}", "get", "serviceaccount", "default", "-n", namespace]
                if subprocess.run(args, capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
        main = {"name": "main", "image": "sh", "command": ["sleep", "infinity"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": NAMESPACE}, "spec": {"containers": [main]}}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        self.kubectl("create", "configmap", "one", "-n", NAMESPACE, "--from-literal=a=b")
        env = [{"name": f"SETTING_{n}", "value": f"of what is in it, number {n}"} for n in range(8)]
        spec = {"schedulerName": "nobody", "containers": [main | {"env": env}]}
        for start in range(0, many, 500):
            items = [
                {
                    "apiVersion": "v1", "kind": "Pod", "spec": spec,
                    "metadata": {"name": f"p{n}", "namespace": "many", "labels": {"app": f"a{n % 20}"},
                                 "annotations": {"owner": f"team{n % 50}@example.com"}},
                }
                for n in range(start, min(start + 500, many))
            ]  # fmt: skip
            self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        self.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", f"pod/{POD}", "--timeout=60s")

    def stop(self):
        (self.admin.parent / "stop").touch()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGTERM)
            self.child.wait()


class KubectlProxy:
    """kubectl proxy: TLS and the credential are its, the caller speaks HTTP in clear."""

    def __init__(self, folder, kubeconfig):
        self.port = free_port()
        args = [str(KUBECTL), f"--kubeconfig={kubeconfig}", "proxy", f"--port={self.port}", "--reject-paths=^$"]
        self.process = Process(args, folder / "kubectl-proxy.log", self.port)
        self.kubeconfig = write_kubeconfig(folder / "proxy.kubeconfig", f"http://127.0.0.1:{self.port}", None, {})

    def target(self):
        return Target(PROXY, f"http://127.0.0.1:{self.port}", None, None, self.process.pid, self.kubeconfig)

    def stop(self):
        self.process.stop()


class Doorward:
    """Doorward with policy, recording, strict audit and recognizers on."""

    def __init__(self, program, folder, cluster, token, issuer):
        self.folder, self.issuer, self.port = folder / "doorward", issuer, free_port()
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "doorward.toml"
        config.write_text(self._config(cluster, token))
        args = [program, "serve", "--config", str(config)]
        self.process = Process(args, self.folder / "log", self.port, cwd=self.folder)

    def _config(self, cluster, token):
        return settings("drain_seconds = 1", self.issuer, POLICY) + f"""
kind = "kubernetes"
listen = "127.0.0.1:{self.port}"
upstream = "{cluster.url.removeprefix('https://')}"
credential = {{ value = "{token}" }}
tls_ca = "{cluster.ca}"
audit = "strict"
max_sessions = 5000
"""

    def target(self, name):
        group = "trusted" if name == CLEAR else "bench"
        token, ca = self.issuer.token_of(f"of-{group}", group), self.folder / "state/dev-tls.crt"
        url = f"https://127.0.0.1:{self.port}"
        kubeconfig = write_kubeconfig(self.folder / f"{group}.kubeconfig", url, ca, {"token": token})
        return Target(name, url, ca, token, self.process.pid, kubeconfig, self.folder / "state/recordings")

    def stop(self):
        self.process.stop()


def hey(folder):
    """The load generator, from its Go module."""
    env = dict(os.environ, GOBIN=str(folder), GOFLAGS="")
    subprocess.run([find("go"), "install", "github.com/rakyll/hey@v0.1.4"], env=env, check=True, capture_output=True)
    return folder / "hey"
