#!/usr/bin/env python3
"""k9s through the gateway, in a terminal that is read as a person would.

    client.py K9S KUBECTL

Behind the scenes: informers of client-go (a list and a watch for each kind that is shown), tables by Accept, reviews of what
the caller may do (`selfsubjectaccessreviews`) before each view, metrics that are not there here. Describe and logs are its
own; a shell is `kubectl exec -it` of the kubectl on PATH.
"""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte

COLUMNS, LINES, LIMIT = 140, 44, 40
NAMESPACE = os.environ.get("E2E_KUBE_NAMESPACE", "default")
POD = f"e2e-k9s-{os.getpid()}"


def kubeconfig(path):
    """JSON is YAML."""
    file = os.environ.get("DOORWARD_TOKEN_FILE")
    token = Path(file).read_text().strip() if file else os.environ["E2E_KUBE_TOKEN"]
    cluster = {"server": os.environ["E2E_KUBE_SERVER"], "certificate-authority": os.environ["E2E_KUBE_CA"]}
    context = {"cluster": "e2e", "user": "e2e", "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": context}],
    }  # fmt: skip
    path.write_text(json.dumps(config))


class Terminal:
    """A program in a terminal, and what its screen shows."""

    def __init__(self, args, env):
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(args[0], args, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.status = None

    def read(self, seconds):
        """Takes what comes; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            got = os.read(self.fd, 1 << 16)
        except OSError:  # Linux's way of saying that the other side is closed
            return False
        self.stream.feed(got)
        return bool(got)

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display if line.strip())

    def until(self, what):
        """Waits until all of these texts are on the screen at once."""
        deadline = time.monotonic() + LIMIT
        while not all(part.lower() in self.text().lower() for part in what):
            if time.monotonic() > deadline or not self.read(0.2):
                raise AssertionError(f"no {what} on the screen: {self.text()}")

    def end(self):
        deadline = time.monotonic() + LIMIT
        while self.read(0.2):
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end: {self.text()[-600:]}")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self):
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)


def make_pod(kubectl):
    command = ["sh", "-c", "echo started; trap exit TERM; while :; do sleep 0.1; done"]
    container = {"name": "main", "image": "sh", "command": command}
    meta = {"name": POD, "labels": {"environment": "dev"}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    kubectl("apply", "-f", "-", input=json.dumps(pod))
    kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s")


def pods(t):
    t.until(["K9s Rev:", POD, "Running"])


def describe(t):
    t.type("d")
    t.until(["Describe(", "environment=dev", "Service Account"])
    t.type("\x1b")
    t.until(["Pods(", POD])


def yaml(t):
    t.type("y")
    t.until(["apiVersion", "kind", "environment"])
    t.type("\x1b")
    t.until(["Pods(", POD])


def logs(t):
    t.type("l")
    t.until(["Logs(", "started"])
    t.type("\x1b")
    t.until(["Pods(", POD])


def shell(t):
    t.type("s")
    t.until(["K9s-Shell"])
    time.sleep(1)  # what is typed before the shell asks may be lost to the program that is leaving the screen
    t.type("echo $((6*7))=answer\n")
    t.until(["42=answer"])
    t.type("exit\n")
    t.until(["Pods(", POD])


def other(t):
    t.type(":namespaces\r")
    t.until(["Namespaces(", NAMESPACE, "kube-system"])


def leave(t):
    t.type(":quit\r")
    code = t.end()
    if code != 0:
        raise AssertionError(f"exit code {code}")


def main():
    k9s, program = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="e2e-k9s-") as home:
        config = Path(home) / "kubeconfig"
        (Path(home) / "config").mkdir()
        (Path(home) / "config/config.yaml").write_text("k9s: { skipLatestRevCheck: true }\n")
        kubeconfig(config)
        path = f"{Path(program).resolve().parent}:{os.environ['PATH']}"
        env = {"HOME": home, "KUBECONFIG": str(config), "PATH": path, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        env |= {"K9S_CONFIG_DIR": f"{home}/config", "K9S_LOGS_DIR": home, "XDG_STATE_HOME": f"{home}/state"}

        def kubectl(*args, **more):
            return subprocess.run([program, *args], env=env, check=True, capture_output=True, text=True, **more)

        terminal, failed = None, False
        try:
            make_pod(kubectl)
            args = [k9s, "--namespace", NAMESPACE, "--command", f"pods /{POD}", "--refresh", "2", "--splashless"]
            terminal = Terminal(args, env)
            for check in (pods, describe, yaml, logs, shell, other, leave):
                try:
                    check(terminal)
                    print(f"ok {check.__name__}", flush=True)
                except (AssertionError, OSError) as e:
                    failed = True
                    print(f"FAIL {check.__name__}: {' '.join(str(e).replace('│', '').replace('─', '').split())[:1500]}", flush=True)
                    break
        except subprocess.CalledProcessError as e:
            failed = True
            print(f"FAIL start: {e.stderr.strip()[:400]}")
        finally:
            if terminal:
                terminal.kill()
            subprocess.run([program, "delete", "pod", POD, "--grace-period=0", "--force", "--wait=false"], env=env, capture_output=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
