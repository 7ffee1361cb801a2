// @kubernetes/client-node through the gateway; 1.4, since the HTTP library of version 2 does not start on Node.js 20.
//
// Behind the scenes: HTTP/1.1 and JSON by node-fetch. Exec, attach and port-forward are WebSockets (`ws`), each of which offers
// `v5.channel.k8s.io`, `v4`, `v3`, `v2` and `channel.k8s.io` and takes what the server picks; with v5 the end of the input
// is a message of its own. A watch is a GET whose body is read line by line.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import assert from 'node:assert/strict';
import * as k8s from '@kubernetes/client-node';

const env = process.env;
const namespace = env.E2E_KUBE_NAMESPACE ?? 'default';
const name = `e2e-node-${process.pid}`;
const pod = `${name}-pod`;
const limit = 60_000;
const token = env.DOORWARD_TOKEN_FILE ? readFileSync(env.DOORWARD_TOKEN_FILE, 'ascii').trim() : env.E2E_KUBE_TOKEN;

function configuration(bearer) {
  const config = new k8s.KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'c', server: env.E2E_KUBE_SERVER, caFile: env.E2E_KUBE_CA, skipTLSVerify: false }],
    users: [{ name: 'u', token: bearer }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  });
  return config;
}

const config = configuration(token);
const core = config.makeApiClient(k8s.CoreV1Api);

function collector() {
  const stream = new PassThrough();
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

async function until(what, holds) {
  const deadline = Date.now() + limit;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(50);
  }
}

// What a command prints on both streams, and its status.
async function run(command, input) {
  const [out, err] = [collector(), collector()];
  const stdin = input === undefined ? null : Readable.from([Buffer.from(input)]);
  let status;
  const socket = await new k8s.Exec(config).exec(
    namespace, pod, 'main', ['sh', '-c', command], out.stream, err.stream, stdin, false, (found) => { status = found; });
  await until('the command ends', () => status !== undefined);
  const code = status.status === 'Success' ? 0 : Number(status.details.causes.find((cause) => cause.reason === 'ExitCode').message);
  return { out: out.text(), err: err.text(), code, protocol: socket.protocol };
}

const checks = {
  async 'wrong-token'() {
    const wrong = configuration('wrong').makeApiClient(k8s.CoreV1Api);
    await assert.rejects(wrong.listNamespacedPod({ namespace }), (error) => error.code === 401);
  },

  async version() {
    assert.equal((await config.makeApiClient(k8s.VersionApi).getCode()).major, '1');
  },

  async objects() {
    const map = `${name}-config`;
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: map }, data: { a: 'ü' } } });
    const found = await core.readNamespacedConfigMap({ namespace, name: map });
    assert.deepEqual(found.data, { a: 'ü' });
    found.data = { b: '2' };
    await core.replaceNamespacedConfigMap({ namespace, name: map, body: found });
    await assert.rejects(core.replaceNamespacedConfigMap({ namespace, name: map, body: found }), (error) => error.code === 409);
    await core.deleteNamespacedConfigMap({ namespace, name: map });
    await assert.rejects(core.readNamespacedConfigMap({ namespace, name: map }), (error) => error.code === 404);
  },

  async watch() {
    const [map, seen] = [`${name}-watched`, []];
    let failure;
    const watching = await new k8s.Watch(config).watch(
      `/api/v1/namespaces/${namespace}/configmaps`, { fieldSelector: `metadata.name=${map}` },
      (kind) => seen.push(kind), (error) => { failure = error; });
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: map } } });
    await core.deleteNamespacedConfigMap({ namespace, name: map });
    await until('two events', () => seen.length >= 2 || failure);
    watching.abort();
    assert.deepEqual(seen, ['ADDED', 'DELETED']);
  },

  async pod() {
    const command = ['sh', '-c', 'echo started; trap exit TERM; while read line; do echo heard $line; done'];
    const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'sh', stdin: true, command }] };
    await core.createNamespacedPod({ namespace, body: { metadata: { name: pod }, spec } });
    await until('the pod runs', async () => (await core.readNamespacedPod({ namespace, name: pod })).status.phase === 'Running');
  },

  async log() {
    const out = collector();
    const following = await new k8s.Log(config).log(namespace, pod, 'main', out.stream, { follow: true });
    await until('a line', () => out.text() === 'started\n');
    following.abort();
  },

  async exec() {
    const { out, err, code, protocol } = await run("printf 'out \\303\\274\\n'; printf 'err\\n' >&2; exit 7");
    assert.deepEqual([out, err, code], ['out ü\n', 'err\n', 7]);
    assert.equal(protocol, 'v5.channel.k8s.io');
  },

  async 'exec-stdin'() {
    const mebibyte = '0123456789abcde\n'.repeat(1 << 16);
    const { out, code } = await run('cat', mebibyte);
    assert.equal(code, 0);
    assert.equal(out.length, mebibyte.length);
    assert.ok(out === mebibyte);
  },

  async attach() {
    const [out, stdin] = [collector(), new PassThrough()];
    const socket = await new k8s.Attach(config).attach(namespace, pod, 'main', out.stream, null, stdin, false);
    stdin.write('me\n');
    await until('an answer', () => out.text() === 'heard me\n');
    socket.close();
  },

  async forward() {
    // Containers share the machine's network.
    const server = createServer((_, reply) => reply.end('x'.repeat(1_000_000)));
    await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
    const [out, stdin] = [collector(), new PassThrough()];
    const socket = await new k8s.PortForward(config).portForward(namespace, pod, [server.address().port], out.stream, null, stdin);
    stdin.write('GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n');
    await until('a reply', () => out.text().length > 1_000_000 && out.text().endsWith('x'.repeat(1000)));
    assert.match(out.text(), /^HTTP\/1\.1 200 OK\r\n/);
    socket.close();
    server.close();
  },
};

let failed = false;
for (const [check, work] of Object.entries(checks)) {
  try {
    await work();
    console.log(`ok ${check}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${check}: ${String(error?.message ?? error).replaceAll('\n', ' ').slice(0, 400)}`);
  }
}
await core.deleteNamespacedPod({ namespace, name: pod, gracePeriodSeconds: 0 }).catch(() => {});
process.exit(failed ? 1 : 0);
