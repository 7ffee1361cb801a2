#!/usr/bin/env python3
"""Makes the calls of calls.yaml to an API server and to a gateway before it, one after the other, and compares the answers.

    CALLS_DIRECT=https://… CALLS_DIRECT_CA=… CALLS_DIRECT_TOKEN=…  CALLS_GATEWAY=… CALLS_GATEWAY_CA=… CALLS_GATEWAY_TOKEN=… calls.py

Both tokens have to be those of one user in the cluster's eyes. Each side has a namespace of its own, `calls-a` and `calls-b`,
and what is made beside namespaces has the same letter at its end. Compared are status, headers and body, without what is
another one each time: names of the sides, uids, versions, times, tokens. A call whose answers are the same though calls.yaml
says that they differ is a difference, too.
"""

import http.client
import json
import os
import re
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import yaml

# Of one connection or one answer: everything else has to be the same.
OWN_HEADERS = {"date", "audit-id", "content-length", "transfer-encoding", "connection", "keep-alive", "sec-websocket-accept", "last-modified"}
OWN_VALUES = [
    (re.compile(r"calls-[ab]\b"), "NS"),
    (re.compile(r"\bmade-[ab]\b"), "made"),
    (re.compile(r"process://[0-9a-f]{64}"), "process://ID"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "TOKEN"),
    (re.compile(r'((?:resourceVersion|continue)\\?"?: ?\\?"?)[\w-]+'), r"\1V"),
    (re.compile(r"\be2e-(made-)?[bcdfghjklmnpqrstvwxz2-9]{5}\b"), "GENERATED"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}\b"), "kube-api-access"),
    (re.compile(r'"\d+m?s"'), '"AGE"'),
    (re.compile(r"current: \d+"), "current: V"),
]
CONTENT = {
    "json": ("application/json-patch+json", '[{"op":"add","path":"/metadata/labels/j","value":"1"}]'),
    "merge": ("application/merge-patch+json", '{"metadata":{"labels":{"m":"1"}}}'),
    "strategic": ("application/strategic-merge-patch+json", '{"metadata":{"labels":{"s":"1"}}}'),
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


class Side:
    """One of the two that are asked."""

    def __init__(self, name, letter):
        self.letter = letter
        self.token = os.environ[f"CALLS_{name}_TOKEN"]
        self.at = urlsplit(os.environ[f"CALLS_{name}"])
        self.tls = ssl.create_default_context(cafile=os.environ[f"CALLS_{name}_CA"])
        self.kept = None

    def connection(self):
        return http.client.HTTPSConnection(self.at.hostname, self.at.port, context=self.tls, timeout=30)

    def named(self, text):
        return text.replace("NS", f"calls-{self.letter}").replace("SIDE", self.letter)

    def ask(self, call, apart=False):
        """(status, headers, body) of a call."""
        method, path = self.named(call["call"]).split(" ", 1)
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": "e2e-calls"}
        body = call.get("body")
        if body is not None:
            headers["Content-Type"] = "application/json"
        headers |= call.get("headers", {})
        if upgrade := call.get("upgrade"):
            headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": upgrade}
        connection = self.connection() if apart or upgrade or not self.kept else self.kept
        for attempt in (1, 2):
            try:
                connection.request(method, path, body=None if body is None else self.named(body).encode(), headers=headers)
                answer = connection.getresponse()
                break
            except (http.client.HTTPException, OSError):
                # A kept connection that the other side had closed.
                if attempt == 2:
                    raise
                connection.close()
        content = b"" if answer.status == 101 else answer.read()
        if apart or upgrade:
            connection.close()
        else:
            self.kept = connection
        return answer.status, answer.getheaders(), content


def plain(text):
    for pattern, name in OWN_VALUES:
        text = pattern.sub(name, text)
    return text


def without(value, changing):
    """JSON without what controllers may have changed meanwhile."""
    if isinstance(value, dict):
        value = {k: without(v, changing) for k, v in value.items() if k != changing}
        # Entries of controllers come when they come.
        fields = value.get("managedFields")
        if isinstance(fields, list):
            value["managedFields"] = [f for f in fields if f.get("manager", "").startswith(("e2e", "other"))]
        if changing:
            value.pop("generation", None)
            value.pop("finalizers", None)
        return value
    return [without(v, changing) for v in value] if isinstance(value, list) else value


def told(call, answer):
    """What is compared of an answer: a dict of texts."""
    status, headers, body = answer
    out = {"status": str(status)}
    for name, value in sorted((n.lower(), v) for n, v in headers):
        if name not in OWN_HEADERS:
            out[name] = out[name] + ", " + plain(value) if name in out else plain(value)
    kind = out.get("content-type", "")
    if "protobuf" in kind or "cbor" in kind:
        # Times are not texts in it, and numbers not always of the same length.
        out["body"] = f"{body[:4]!r}, some {round(len(body) / 64)} times 64 bytes"
    elif "json" in kind and "pretty" not in call["call"]:
        # A watch is a line for each event.
        try:
            parts = [json.loads(line) for line in body.splitlines()] if "watch" in call["call"] else [json.loads(body)] if body else []
            changing = call.get("changing")
            # What controllers do meanwhile comes when it comes.
            parts = [p for p in parts if not changing or not call.get("slow") or p.get("type") == "ADDED"]
            out["body"] = "\n".join(plain(json.dumps(without(p, changing), ensure_ascii=False, sort_keys=True)) for p in parts)
        except ValueError:
            out["body"] = plain(body.decode(errors="replace"))
    else:
        out["body"] = plain(body.decode(errors="replace"))
    return out


def of_kind(kind):
    """The calls of one kind."""
    path, lacks, changing = kind["path"], kind.get("lacks", []), kind.get("changing")
    name = kind.get("name", "e2e-made") if "/namespaces/NS/" in path else "e2e-made-SIDE"
    at = f"{path}/{name}"

    def call(text, body=None, **headers):
        made = {"call": text, "changing": changing, "headers": {k.replace("_", "-"): v for k, v in headers.items()}}
        return made if body is None else made | {"body": body}

    selector = "labelSelector=e2e%3Dmade-SIDE"
    yield call(f"GET {path}?{selector}&limit=5")
    yield call(f"GET {path}?{selector}", Accept=TABLE)
    yield call(f"GET {at}")
    if "create" not in lacks:
        made = kind["object"] | {"metadata": {"name": name, "labels": {"e2e": "made-SIDE"}}}
        text = json.dumps(made)
        yield call(f"POST {path}?dryRun=All", text)
        yield call(f"POST {path}?fieldManager=e2e", text) | {"status": 201}
        yield call(f"POST {path}", text)
        yield call(f"GET {at}")
        yield call(f"GET {at}", Accept=PARTIAL)
        yield call(f"GET {at}", Accept="application/vnd.kubernetes.protobuf,application/json")
        yield call(f"GET {path}?{selector}")
        yield call(f"GET {path}?{selector}", Accept=TABLE)
        for how, (kind_of_patch, patch) in CONTENT.items():
            if how not in lacks:
                yield call(f"PATCH {at}?fieldManager=e2e", patch, Content_Type=kind_of_patch)
        labels = {k: made[k] for k in ("apiVersion", "kind")} | {"metadata": {"name": name, "labels": {"p": "1"}}}
        # The whole of it: of some kinds, what is applied has to be valid by itself.
        whole = made | {"metadata": {"name": name, "labels": {"p": "1"}}}
        yield call(f"PATCH {at}?fieldManager=e2e-apply&force=true", json.dumps(labels), Content_Type="application/apply-patch+yaml")
        yield call(f"PATCH {at}?fieldManager=e2e-apply&dryRun=All&force=true", json.dumps(whole), Content_Type="application/apply-patch+yaml")
        yield call(f"PUT {at}?dryRun=All", text)
        yield call(f"DELETE {at}?dryRun=All")
        yield call(f"DELETE {path}?{selector}&dryRun=All")
        yield call(f"GET {path}?{selector}&watch=true&timeoutSeconds=1&resourceVersion=0") | {"slow": True}
        yield call(f"DELETE {at}?gracePeriodSeconds=0") | {"last": True}


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.e2e.example.com"},
    "spec": {
        "group": "e2e.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}}}],
    },
}  # fmt: skip
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}


def prepare(direct, sides):
    """What the calls find there; made directly."""
    def make(path, made):
        status, _, body = direct.ask({"call": f"POST {path}", "body": json.dumps(made)})
        if status not in (201, 409):
            sys.exit(f"calls: cannot make {path}: {status} {body[:300]!r}")

    make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    command = ["sh", "-c", "echo one; echo two; sleep 3600"]
    main = {"name": "main", "image": "sh", "command": command}
    for side in sides:
        ns = f"calls-{side.letter}"
        make("/api/v1/namespaces", {"metadata": {"name": ns}})
        wait(direct, f"/api/v1/namespaces/{ns}/serviceaccounts/default", lambda o: True)
        # Of its own, at its own time: it comes first on both sides.
        wait(direct, f"/api/v1/namespaces/{ns}/configmaps/kube-root-ca.crt", lambda o: True)
        meta = {"name": "kept", "labels": {"kept": "yes"}}
        make(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": meta, "data": {"a": "b"}})
        make(f"/api/v1/namespaces/{ns}/pods", {"metadata": meta, "spec": {"containers": [main], "terminationGracePeriodSeconds": 0}})
        make(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "unscheduled"}, "spec": {"schedulerName": "nobody", "containers": [main]}})
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
        make(f"/apis/apps/v1/namespaces/{ns}/deployments", {"metadata": meta, "spec": spec})
    # It can be listed a moment before anything can be written.
    widget = {"apiVersion": "e2e.example.com/v1", "kind": "Widget", "metadata": {"name": "first"}}
    for _ in range(100):
        path = "/apis/e2e.example.com/v1/namespaces/calls-a/widgets?dryRun=All"
        if direct.ask({"call": f"POST {path}", "body": json.dumps(widget)})[0] == 201:
            break
        time.sleep(0.1)
    wait(direct, "/openapi/v3", lambda o: "apis/e2e.example.com/v1" in o["paths"])
    wait(direct, "/openapi/v2", lambda o: any("e2e" in name for name in o["definitions"]))
    for side in sides:
        wait(direct, f"/api/v1/namespaces/calls-{side.letter}/pods/kept", lambda o: o["status"]["phase"] == "Running")
        wait(direct, f"/apis/apps/v1/namespaces/calls-{side.letter}/deployments/kept", lambda o: o["status"].get("observedGeneration"))


def wait(side, path, holds):
    for _ in range(300):
        status, _, body = side.ask({"call": f"GET {path}"})
        if status == 200 and holds(json.loads(body)):
            return
        time.sleep(0.1)
    sys.exit(f"calls: {path} is not what it has to be in time")


def compare(call, direct, gateway):
    """What differs, as lines; nothing where it is as expected."""
    a, b = told(call, direct), told(call, gateway)
    names = [k for k in a.keys() | b.keys() if a.get(k) != b.get(k)]
    if "differs" in call:
        unknown = [k for k in names if k not in call["only"]] if "only" in call else []
        if names and not unknown:
            return []
        if not names:
            return [f"DIFF {call['call']}: the same, though calls.yaml says: {call['differs']}"]
        names = unknown
    out = []
    if direct[0] != call.get("status", direct[0]):
        # The calls that follow would compare nothing.
        out.append(f"DIFF {call['call']}: the API server said {direct[0]}: {direct[2][:300]!r}")
    for name in sorted(names):
        x, y = a.get(name), b.get(name)
        if x and y and len(x) > 300:
            at = next((i for i, (p, q) in enumerate(zip(x, y)) if p != q), min(len(x), len(y)))
            x, y = x[max(0, at - 60) : at + 150], y[max(0, at - 60) : at + 150]
        out.append(f"DIFF {call['call']} {call.get('headers') or ''}: {name}\n  direct  {x}\n  gateway {y}")
    return out


def differences_of(call, sides, answers, apart=False):
    """What differs, also when it is asked once more: answers to the same GET are not always the same, with or without a
    gateway (bookmarks at the end of a watch, the order of what came at once)."""
    found = compare(call, *answers)
    for _ in range(3):
        if not found or not call["call"].startswith("GET "):
            break
        found = compare(call, *(side.ask(call, apart) for side in sides))
    return found


def main():
    data = yaml.safe_load((Path(__file__).resolve().parent / "calls.yaml").read_text())
    sides = [Side("DIRECT", "a"), Side("GATEWAY", "b")]
    prepare(sides[0], sides)
    calls = data["calls"] + [call for kind in data["kinds"] for call in of_kind(kind)]
    known = [c for c in calls if "differs" in c]
    slow = [c for c in calls if c.get("slow")]
    last = [c for c in calls if c.get("last")]
    differences = []
    for call in [c for c in calls if not c.get("slow") and not c.get("last")]:
        differences += differences_of(call, sides, [side.ask(call) for side in sides])
    with ThreadPoolExecutor(32) as pool:
        asked = [(call, [pool.submit(side.ask, call, True) for side in sides]) for call in slow]
        for call, answers in asked:
            differences += differences_of(call, sides, [answer.result() for answer in answers], True)
    for call in last:
        differences += differences_of(call, sides, [side.ask(call) for side in sides])
    for line in differences:
        print(line)
    print(f"{len(calls)} calls compared, {len(known)} of them known to differ; {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
