// node-postgres (`pg`, pure JavaScript) through the gateway.
//
// Behind the scenes: a query without parameters is a simple query; one with parameters an unnamed Parse, Bind,
// Describe, Execute, Sync; one with a `name` is prepared under that name once per connection. Results are text unless
// `binary` is asked for. Types are never looked up. Transactions are whatever the program sends. pg-cursor is a portal
// with a row limit (Execute n, Flush); pg-copy-streams writes nothing but the COPY it is given. There is no cancel in
// its interface: the CancelRequest here is one that the program sends itself, over a connection without TLS, as `pg`
// does for its own query_timeout.
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline as streamPipeline } from 'node:stream/promises';
import assert from 'node:assert/strict';
import pg from 'pg';
import Cursor from 'pg-cursor';
import copyStreams from 'pg-copy-streams';

// Queries queued on a busy client still work in this version, and are what older programs send.
process.noDeprecation = true;

const env = process.env;
const prefix = env.E2E_PREFIX ?? 'e2e_';
const [items, samples, bulk, copied, hidden] = ['items', 'samples', 'bulk', 'copied', 'hidden'].map((name) => prefix + name);
const me = 'node';
const settings = {
  host: env.PGHOST,
  port: Number(env.PGPORT),
  database: env.PGDATABASE,
  user: env.PGUSER,
  password: env.DOORWARD_TOKEN_FILE ? readFileSync(env.DOORWARD_TOKEN_FILE, 'ascii').trim() : env.PGPASSWORD,
  ssl: { ca: readFileSync(env.PGSSLROOTCERT, 'ascii'), rejectUnauthorized: true },
  connectionTimeoutMillis: 10_000,
};

async function withClient(work) {
  const client = new pg.Client(settings);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const rows = async (client, text, values) => (await client.query(text, values)).rows;
const state = (code) => (error) => assert.equal(error.code, code) ?? true;

const checks = {
  async tls(client) {
    const socket = client.connection.stream;
    assert.equal(socket.encrypted && socket.authorized, true);
    assert.match(socket.getProtocol(), /^TLSv1\./);
  },

  async select(client) {
    assert.deepEqual(await rows(client, "SELECT 1 AS a, 'héllo' AS b, true AS c"), [{ a: 1, b: 'héllo', c: true }]);
    assert.deepEqual(await rows(client, 'SELECT 1 WHERE false'), []);
    const several = await client.query('SELECT 1 AS a; SELECT 2 AS a');
    assert.deepEqual(several.map((result) => result.rows[0].a), [1, 2]);
  },

  async prepared(client) {
    await client.query(`DELETE FROM ${items} WHERE client = $1`, [me]);
    for (let i = 0; i < 100; i += 1) {
      await client.query({ name: 'put', text: `INSERT INTO ${items} VALUES ($1, $2, $3, $4)`, values: [me, i, `item ${i}`, i] });
    }
    for (let i = 0; i < 100; i += 1) {
      const text = `SELECT name, qty FROM ${items} WHERE client = $1 AND id = $2`;
      const { rows: [row] } = await client.query({ name: `get-${i % 2}`, text, values: [me, i], binary: i % 2 === 1 });
      assert.deepEqual(row, { name: `item ${i}`, qty: i });
    }
  },

  async transaction(client) {
    const late = async () => Number((await rows(client, `SELECT count(*) FROM ${items} WHERE client = $1 AND id >= 1000`, [me]))[0].count);
    for (const [id, verdict, left] of [[1001, 'ROLLBACK', 0], [1002, 'COMMIT', 1]]) {
      await client.query('BEGIN');
      await client.query(`INSERT INTO ${items} VALUES ($1, $2, 'x', 1)`, [me, id]);
      assert.equal(await late(), 1);
      await client.query(verdict);
      assert.equal(await late(), left);
    }
  },

  async 'error-recovery'(client) {
    await client.query('BEGIN');
    for (const [text, values, code] of [['SELECT 1/$1::int', [0], '22012'], ['SELECT * FROM e2e_no_such_table', [], '42P01']]) {
      await client.query('SAVEPOINT s');
      await assert.rejects(client.query(text, values), state(code));
      await client.query('ROLLBACK TO SAVEPOINT s');
      assert.deepEqual(await rows(client, 'SELECT 7 AS a'), [{ a: 7 }]);
    }
    await assert.rejects(client.query('SELECT 1/0'), state('22012'));
    await assert.rejects(client.query('SELECT 1'), state('25P02'));
    await client.query('ROLLBACK');
    assert.deepEqual(await rows(client, 'SELECT 8 AS a'), [{ a: 8 }]);
  },

  async queued(client) {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => rows(client, 'SELECT $1::int AS a', [i])));
    assert.deepEqual(answers.map(([row]) => row.a), Array.from({ length: 200 }, (_, i) => i));
  },

  async 'large-result'(client) {
    const all = await rows(client, `SELECT id, payload FROM ${bulk}`);
    const total = (list) => list.reduce((sum, row) => sum + row.id, 0);
    assert.deepEqual([all.length, total(all)], [100000, 5000050000]);
    const cursor = client.query(new Cursor(`SELECT id, payload FROM ${bulk} WHERE id > $1`, [0]));
    let [count, sum] = [0, 0];
    for (let part = await cursor.read(5000); part.length > 0; part = await cursor.read(5000)) {
      count += part.length;
      sum += total(part);
    }
    await cursor.close();
    assert.deepEqual([count, sum], [100000, 5000050000]);
    const halfway = client.query(new Cursor(`SELECT id FROM ${bulk}`));
    assert.equal((await halfway.read(10)).length, 10);
    await halfway.close();
    assert.deepEqual(await rows(client, 'SELECT 9 AS a'), [{ a: 9 }]);
  },

  async 'copy-in'(client) {
    await client.query(`DELETE FROM ${copied} WHERE client = $1`, [me]);
    const lines = Array.from({ length: 10000 }, (_, i) => `${me},${i},note ${i} ü\n`);
    const sink = client.query(copyStreams.from(`COPY ${copied} (client, id, note) FROM STDIN (FORMAT csv)`));
    await streamPipeline(Readable.from(lines), sink);
    assert.equal(sink.rowCount, 10000);
  },

  async 'copy-out'(client) {
    const query = `COPY (SELECT id, note FROM ${copied} WHERE client = 'node' ORDER BY id) TO STDOUT (FORMAT csv)`;
    const parts = [];
    for await (const part of client.query(copyStreams.to(query))) parts.push(part);
    const lines = Buffer.concat(parts).toString().split('\n');
    assert.deepEqual([lines.length, lines[0], lines[9999]], [10001, '0,note 0 ü', '9999,note 9999 ü']);
  },

  async types(client) {
    const sample = {
      t: 'žluťoučký 🐘 你好', b: Buffer.from([0, 255, 16]), ints: [1, null, 3], texts: ['a b', null, '"q"'],
      n: '98765432.1234567891', ts: new Date('2024-02-29T12:34:56.789Z'), d: new Date(1999, 11, 31),
      u: '6f9619ff-8b86-d011-b42d-00cf4fc964ff', f: 0.1, yes: true, nothing: null, j: { k: [1, null, 'ü'] },
    };
    const columns = Object.keys(sample).join(', ');
    const marks = Array.from({ length: 14 }, (_, i) => `$${i + 1}`).join(', ');
    await client.query(`DELETE FROM ${samples} WHERE client = $1`, [me]);
    await client.query(`INSERT INTO ${samples} (client, id, ${columns}) VALUES (${marks})`, [me, 1, ...Object.values(sample)]);
    assert.deepEqual(await rows(client, `SELECT ${columns} FROM ${samples} WHERE client = $1`, [me]), [sample]);
  },

  async cancel(client) {
    const begun = Date.now();
    const sleeping = client.query('SELECT pg_sleep(30)');
    setTimeout(() => cancel(client), 500);
    await assert.rejects(sleeping, state('57014'));
    assert.ok(Date.now() - begun < 3000, `took ${Date.now() - begun} ms`);
    assert.deepEqual(await rows(client, 'SELECT 10 AS a'), [{ a: 10 }]);
  },

  async notify(client) {
    const received = new Promise((resolve, reject) => {
      client.once('notification', resolve);
      setTimeout(reject, 5000, new Error('no notification')).unref();
    });
    await client.query('LISTEN e2e_node');
    await withClient((other) => other.query('SELECT pg_notify($1, $2)', ['e2e_node', 'hello, wörld']));
    const { channel, payload } = await received;
    assert.deepEqual([channel, payload], ['e2e_node', 'hello, wörld']);
    await client.query('UNLISTEN e2e_node');
  },

  async pool() {
    const pool = new pg.Pool({ ...settings, max: 4 });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => rows(pool, 'SELECT $1::int AS a', [i])));
    await pool.end();
    assert.deepEqual(answers.map(([row]) => row.a), Array.from({ length: 40 }, (_, i) => i));
  },
};

function cancel(client) {
  // `secretKey` is a number for the four bytes of protocol 3.0.
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(80877102, 4);
  message.writeInt32BE(client.processID, 8);
  message.writeInt32BE(client.secretKey, 12);
  // As libpq does, leaves it to the server to close: PgBouncer forgets a request whose sender has gone.
  connectTcp(settings.port, settings.host).write(message);
}

// Over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.
const hiddenColumns = 'id, name, ssn, mail, code, big, pay, born, seen, who, raw, doc, ok';
const hiddenRow = (id) => ({
  id, name: id === 5 ? null : `Name ${id}`, ssn: '[ssn]', mail: 'nobody@example.com', code: null, big: '7', pay: '12.34',
  born: new Date(1900, 0, 1), seen: null, who: null, raw: null, doc: '[masked]', ok: null,
});
const hiddenRows = [1, 2, 3, 4, 5, 6, 7, 8].map(hiddenRow);
const hiddenText = `SELECT ${hiddenColumns} FROM ${hidden} WHERE client = $1 AND id > $2 ORDER BY ssn, id`;
const hiddenValues = {
  ssn: '078-05-1124', mail: 'user4@example.com', code: 1004, big: '1000000000004', pay: '402.00', born: '1970-01-05',
  seen: new Date('2024-03-04T12:00:00Z'), who: '00000000-0000-4000-8000-000000000004', raw: Buffer.from([4]), ok: true,
};

const hiddenChecks = {
  async 'hidden-rows'(client) {
    const plain = hiddenText.replace('$1', "'all'").replace('$2', '0');
    for (const query of [{ text: plain }, { text: hiddenText, values: ['all', 0] }, { name: 'hidden', text: hiddenText, values: ['all', 0] },
      { name: 'hidden', text: hiddenText, values: ['all', 0] }]) {
      const result = await client.query(query);
      assert.deepEqual(result.rows, hiddenRows);
      assert.deepEqual(result.fields.map((field) => field.name).join(', '), hiddenColumns);
      assert.deepEqual(result.fields.map((field) => field.dataTypeID), [23, 25, 25, 1043, 23, 20, 1700, 1082, 1184, 2950, 17, 3802, 16]);
    }
    const binary = `SELECT id, ssn, code, big FROM ${hidden} WHERE client = $1 AND id = $2`;
    const [row] = await rows(client, { text: binary, values: ['all', 4], binary: true });
    assert.deepEqual([row.id, row.ssn, row.code, Number(row.big)], [4, '[ssn]', null, 7]);
  },

  async 'hidden-filters'(client) {
    const count = async (condition, value, name) =>
      Number((await rows(client, { name, text: `SELECT count(*) FROM ${hidden} WHERE client = 'all' AND ${condition}`, values: [value] }))[0].count);
    for (const [column, value] of Object.entries(hiddenValues)) {
      for (const name of [undefined, `by-${column}`, `by-${column}`]) assert.equal(await count(`${column} = $1`, value, name), 0, column);
    }
    for (const [value, found] of [['[ssn]', 8], ['078-05-1124', 0], ['[ssn]', 8]]) assert.equal(await count('ssn = $1', value, 'by-ssn'), found);
    assert.equal(await count('ssn = ANY($1)', ['078-05-1121', '078-05-1124']), 0);
    const several = await client.query(`SELECT 1; SELECT id FROM ${hidden} WHERE client = 'all' AND ssn = '[ssn]'`);
    assert.deepEqual(several.map((result) => result.rowCount), [1, 8]);
  },

  async 'hidden-cursor'(client) {
    const cursor = client.query(new Cursor(hiddenText, ['all', 0]));
    assert.deepEqual(await cursor.read(3), hiddenRows.slice(0, 3));
    assert.deepEqual(await cursor.read(100), hiddenRows.slice(3));
    await cursor.close();
    const answers = await Promise.all(hiddenRows.map(({ id }) => rows(client, hiddenText, ['all', id - 1])));
    assert.deepEqual(answers.map(([row]) => row), hiddenRows);
  },

  async 'hidden-copy'(client) {
    const out = async (text) => {
      const parts = [];
      for await (const part of client.query(copyStreams.to(text))) parts.push(part);
      return Buffer.concat(parts).toString('latin1');
    };
    const query = `SELECT id, ssn, code, big FROM ${hidden} WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id`;
    assert.equal((await out(`COPY (${query}) TO STDOUT (FORMAT csv)`)).split('\n')[7], '8,"[ssn]",,"7"');
    const binary = await out(`COPY ${hidden} (ssn, born) TO STDOUT (FORMAT binary)`);
    assert.deepEqual([binary.includes('[ssn]'), binary.includes('078-05')], [true, false]);
  },

  async 'hidden-writes'(client) {
    await client.query(`DELETE FROM ${hidden} WHERE client = $1`, [me]);
    const put = `INSERT INTO ${hidden} (client, id, name, ssn, code, born) VALUES ($1, $2, 'mine', $3, $4, $5) RETURNING id, ssn, code`;
    for (let i = 0; i < 4; i += 1) {
      const query = { name: i % 2 ? 'put-hidden' : undefined, text: put, values: [me, i, '078-05-9999', 5, '1970-01-05'] };
      assert.deepEqual(await rows(client, query), [{ id: i, ssn: '[ssn]', code: null }]);
    }
    await client.query('BEGIN');
    const changed = await rows(client, `UPDATE ${hidden} SET ssn = $1, name = 'new' WHERE client = $2 AND id = 1 RETURNING name, ssn`, ['1', me]);
    assert.deepEqual(changed, [{ name: 'new', ssn: '[ssn]' }]);
    await client.query('ROLLBACK');
    for (const [text, values] of [[`UPDATE ${hidden} SET name = 'x' WHERE ssn = $1`, ['078-05-1124']],
      [`DELETE FROM ${hidden} WHERE client = 'x' AND code = $1`, [1004]], [`UPDATE ${hidden} SET ssn = $1 WHERE client = $2`, ['[ssn]', me]]]) {
      await assert.rejects(client.query(text, values), state('42501'));
      await assert.rejects(client.query({ name: text, text, values }), state('42501'));
    }
    assert.equal((await rows(client, `SELECT name FROM ${hidden} WHERE client = $1 AND name = 'mine'`, [me])).length, 4);
  },
};

if (env.E2E_HIDDEN) Object.assign(checks, hiddenChecks);
else console.log('skip hidden: nothing is hidden from this caller');

let failed = false;
await withClient(async (client) => {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(client);
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${name}: ${error.message.replaceAll('\n', ' ').slice(0, 400)}`);
      await client.query('ROLLBACK');
    }
  }
});
process.exit(failed ? 1 : 0);
