// mysql2 (pure JavaScript) through the gateway.
//
// Behind the scenes: nothing is sent as it connects; the character set is the handshake's. `query` puts parameters into the
// text (COM_QUERY), `execute` prepares each text once and keeps it (COM_STMT_PREPARE, COM_STMT_EXECUTE; COM_STMT_CLOSE as its
// cache overflows). beginTransaction(), commit() and rollback() are `START TRANSACTION`, `COMMIT`, `ROLLBACK`; ping() is
// COM_PING, reset() COM_RESET_CONNECTION, changeUser() COM_CHANGE_USER (not used here). Commands are queued, never sent
// ahead. The token needs `enableCleartextPlugin: true`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import mysql from 'mysql2/promise';

const env = process.env;
const me = 'mysql2';
const settings = {
  host: env.E2E_MYSQL_HOST,
  port: Number(env.E2E_MYSQL_PORT),
  database: env.E2E_MYSQL_DATABASE,
  user: env.E2E_MYSQL_USER,
  password: env.DOORWARD_TOKEN_FILE ? readFileSync(env.DOORWARD_TOKEN_FILE, 'ascii').trim() : env.E2E_MYSQL_PASSWORD,
  ssl: { ca: readFileSync(env.E2E_MYSQL_CA, 'ascii'), rejectUnauthorized: true, verifyIdentity: true },
  enableCleartextPlugin: true,
  supportBigNumbers: true,
  dateStrings: true,
  connectTimeout: 10_000,
};

async function withConnection(work, more = {}) {
  const connection = await mysql.createConnection({ ...settings, ...more });
  try {
    return await work(connection);
  } finally {
    connection.destroy();
  }
}

const rows = async (connection, sql, values) => (await connection.query({ sql, values, rowsAsArray: true }))[0];
const prepared = async (connection, sql, values) => (await connection.execute({ sql, values, rowsAsArray: true }))[0];
const errno = (number) => (error) => assert.equal(error.errno, number) ?? true;
const fails = (connection, number, sql, values) => assert.rejects(connection.query(sql, values), errno(number));

const columns = 'ti, tu, i, iu, b, bu, n, f, d, t, dt, ts, y, txt, bl, yes, nothing';
const sample = [
  -128, 255, -(2 ** 31), 2 ** 32 - 1, '-9223372036854775808', '18446744073709551615', '98765432.1234567891', 0.1, '1999-12-31',
  '-12:34:56.789012', '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.789012', 2024, 'žluťoučký 🐘 你好',
  Buffer.from([0, 255, 16, 39, 92, 10]), 1, null,
];
const json = { k: [1, null, 'ü'] };
const people = 'SELECT name, email, card, born, notes FROM e2e_people WHERE id = 1';
const masked = [['Name 1', '[email]', '************1111', null, 'mail [email]']];

const checks = {
  async tls(connection) {
    const { stream } = connection.connection;
    assert.equal(stream.encrypted && stream.authorized, true);
    const other = { ...settings.ssl, ca: readFileSync(env.E2E_MYSQL_OTHER_CA, 'ascii') };
    await assert.rejects(withConnection(() => {}, { ssl: other }), /certificate/);
  },

  async select(connection) {
    assert.deepEqual(await rows(connection, "SELECT 1, 'héllo', true"), [[1, 'héllo', 1]]);
    assert.deepEqual(await rows(connection, 'SELECT 1 FROM DUAL WHERE false'), []);
    assert.deepEqual(await rows(connection, 'SELECT ?, ?', [7, "a'b\\c%"]), [[7, "a'b\\c%"]]);
    await connection.ping();
  },

  async prepared(connection) {
    await connection.execute('DELETE FROM e2e_items WHERE client = ?', [me]);
    for (let i = 0; i < 100; i += 1) {
      const [done] = await connection.execute('INSERT INTO e2e_items VALUES (?, ?, ?, ?)', [me, i, `item ${i}`, i]);
      assert.equal(done.affectedRows, 1);
    }
    for (let i = 0; i < 100; i += 1) {
      const got = await prepared(connection, 'SELECT name, qty FROM e2e_items WHERE client = ? AND id = ?', [me, i]);
      assert.deepEqual(got, [[`item ${i}`, i]]);
    }
    const [numbered] = await connection.execute("INSERT INTO e2e_numbered (client, name) VALUES (?, 'x')", [me]);
    assert.ok(numbered.insertId > 0);
    // A statement that is closed and prepared again.
    const statement = await connection.prepare('SELECT ? + 1 AS n');
    const [[row]] = await statement.execute([41]);
    assert.equal(Number(row.n), 42);
    await statement.close();
  },

  async transaction(connection) {
    const late = async () => (await rows(connection, 'SELECT count(*) FROM e2e_items WHERE client = ? AND id > 1000', [me]))[0][0];
    for (const [id, verdict, left] of [[1001, 'rollback', 0], [1002, 'commit', 1]]) {
      await connection.beginTransaction();
      await connection.query('INSERT INTO e2e_items VALUES (?, ?, ?, 1)', [me, id, verdict]);
      assert.equal(await late(), 1);
      await fails(connection, 1142, 'DROP TABLE e2e_people');
      await connection[verdict]();
      assert.equal(await late(), left);
    }
  },

  async errors(connection) {
    await fails(connection, 1146, 'SELECT * FROM e2e_no_such_table');
    await assert.rejects(connection.execute('SELECT * FROM e2e_no_such_table'), errno(1146));
    await fails(connection, 1062, "INSERT INTO e2e_items VALUES (?, 1002, 'twice', 1)", [me]);
    await assert.rejects(connection.execute("INSERT INTO e2e_items VALUES (?, 1002, 'twice', 1)", [me]), errno(1062));
    await fails(connection, 1227, 'SELECT 1 FROM FROM');
    assert.deepEqual(await rows(connection, 'SELECT 8'), [[8]]);
  },

  async refused(connection) {
    for (const sql of ['DROP TABLE e2e_people', 'INSERT INTO e2e_people (id) VALUES (3)', 'DELETE FROM e2e_items', 'SELECT * FROM mysql.user']) {
      await fails(connection, 1142, sql);
      await assert.rejects(connection.execute(sql), errno(1142));
      assert.deepEqual(await prepared(connection, 'SELECT ?', ['9']), [['9']]);
    }
  },

  async masked(connection) {
    assert.deepEqual(await rows(connection, people), masked);
    assert.deepEqual(await prepared(connection, people.replace('1', '?'), [1]), masked);
    assert.deepEqual(await prepared(connection, "SELECT concat('<', email, '>') FROM e2e_people WHERE id = ?", [1]), [['[email]']]);
  },

  async types(connection) {
    const marks = [...Array(sample.length + 3)].map(() => '?').join(', ');
    for (const [id, run] of [[1, rows], [2, prepared]]) {
      await run(connection, 'DELETE FROM e2e_samples WHERE client = ? AND id = ?', [me, id]);
      await run(connection, `INSERT INTO e2e_samples (client, id, j, ${columns}) VALUES (${marks})`, [me, id, JSON.stringify(json), ...sample]);
      for (const read of [rows, prepared]) {
        const [[j, ...got]] = await read(connection, `SELECT j, ${columns} FROM e2e_samples WHERE client = ? AND id = ?`, [me, id]);
        assert.deepEqual(got, sample);
        // MySQL's JSON is a type of its own, MariaDB's is text.
        assert.deepEqual(typeof j === 'string' ? JSON.parse(j) : j, json);
      }
    }
  },

  async big(connection) {
    const big = Buffer.alloc(17 * 1024 * 1024, 0xfe);
    await connection.query('DELETE FROM e2e_big WHERE client = ?', [me]);
    await connection.execute('INSERT INTO e2e_big VALUES (?, ?)', [me, big]);
    for (const read of [rows, prepared]) {
      const [[got]] = await read(connection, 'SELECT data FROM e2e_big WHERE client = ?', [me]);
      assert.ok(got.equals(big));
    }
    await connection.query('DELETE FROM e2e_big WHERE client = ?', [me]);
  },

  async 'large-result'(connection) {
    let [count, sum] = [0, 0];
    for await (const row of connection.connection.query('SELECT id, payload FROM e2e_bulk').stream()) {
      count += 1;
      sum += row.id;
    }
    assert.deepEqual([count, sum], [20_000, 200_010_000]);
    const all = await prepared(connection, 'SELECT id, payload FROM e2e_bulk WHERE id > ?', [0]);
    assert.equal(all.length, 20_000);
  },

  async 'load-local'(connection) {
    await connection.query('DELETE FROM e2e_loaded WHERE client = ?', [me]);
    const lines = [...Array(1000).keys()].map((i) => Buffer.from(`${me}\t${i}\tnote ${i} ü\n`));
    const sql = "LOAD DATA LOCAL INFILE 'lines' INTO TABLE e2e_loaded CHARACTER SET utf8mb4";
    const [done] = await connection.query({ sql, infileStreamFactory: () => Readable.from(lines) });
    assert.equal(done.affectedRows, 1000);
    // A client that has nothing to give is refused by its own driver, and its session goes on.
    await assert.rejects(connection.query(sql));
    assert.deepEqual(await rows(connection, 'SELECT 11'), [[11]]);
  },

  async call(connection) {
    const [[result]] = await connection.query('CALL e2e_pair(?)', [7]);
    assert.deepEqual({ ...result[0] }, { a: 7, b: 8 });
    const [[binary]] = await connection.execute('CALL e2e_pair(?)', [7]);
    assert.deepEqual({ ...binary[0] }, { a: 7, b: 8 });
  },

  async 'multi-statements'() {
    await withConnection(async (connection) => {
      const [results] = await connection.query("SELECT 1 AS a; SELECT 2 AS a FROM DUAL WHERE false; SELECT 'three' AS a");
      assert.deepEqual(results.map((result) => result.map((row) => row.a)), [[1], [], ['three']]);
      await fails(connection, 1142, `INSERT INTO e2e_items VALUES ('${me}', 1004, 'x', 1); DROP TABLE e2e_people`);
      assert.deepEqual(await rows(connection, 'SELECT count(*) FROM e2e_items WHERE client = ? AND id = 1004', [me]), [[0]]);
    }, { multipleStatements: true });
  },

  async reset(connection) {
    await connection.query('SET @x = 5');
    await connection.reset();
    assert.deepEqual(await rows(connection, 'SELECT @x'), [[null]]);
    assert.deepEqual(await prepared(connection, 'SELECT name FROM e2e_items WHERE client = ? AND id = ?', [me, 1]), [['item 1']]);
  },

  async pool() {
    const pool = mysql.createPool({ ...settings, connectionLimit: 3, compress: true });
    const answers = await Promise.all([...Array(30).keys()].map((i) => rows(pool, 'SELECT ?', [i])));
    assert.deepEqual(answers.map(([[i]]) => i), [...Array(30).keys()]);
    await pool.end();
  },

  async kill(connection) {
    const endless = connection.query('SELECT count(*) FROM e2e_bulk a, e2e_bulk b, e2e_bulk c WHERE a.payload = b.payload');
    const begun = Date.now();
    const ended = assert.rejects(endless, errno(1317));
    await withConnection(async (other) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await other.query('KILL QUERY ?', [connection.threadId]);
    });
    await ended;
    assert.ok(Date.now() - begun < 5000);
    assert.deepEqual(await rows(connection, 'SELECT 10'), [[10]]);
  },
};

// Over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.
const hiddenColumns = 'id, name, ssn, mail, code, big, pay, born, seen, raw, ratio';
const hiddenRows = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => [
  id, id === 5 ? null : `Name ${id}`, '[ssn]', 'nobody@example.com', null, 7, '12.34', '1900-01-01', null, Buffer.from('[hidden]'), null,
]);
const hiddenText = `SELECT ${hiddenColumns} FROM e2e_hidden WHERE client = ? AND id > ? ORDER BY ssn, id`;
const hiddenValues = {
  ssn: '078-05-1124', mail: 'user4@example.com', code: 1004, big: '1000000000004', pay: '402.00', born: '1970-01-05',
  seen: '2024-03-04 12:00:00', raw: Buffer.from([4]), ratio: 1,
};

const hiddenChecks = {
  async 'hidden-rows'(connection) {
    for (const read of ['query', 'execute', 'execute']) {
      const [got, fields] = await connection[read]({ sql: hiddenText, values: ['all', 0], rowsAsArray: true });
      assert.deepEqual(got, hiddenRows);
      assert.equal(fields.map((field) => field.name).join(', '), hiddenColumns);
    }
    const streamed = [];
    for await (const row of connection.connection.execute(hiddenText, ['all', 0]).stream()) streamed.push(row.id);
    assert.deepEqual(streamed, [1, 2, 3, 4, 5, 6, 7, 8]);
    const answers = await Promise.all(hiddenRows.map(([id]) => prepared(connection, hiddenText, ['all', id - 1])));
    assert.deepEqual(answers.map(([row]) => row), hiddenRows);
  },

  async 'hidden-filters'(connection) {
    for (const read of [rows, prepared, prepared]) {
      const count = async (condition, ...values) =>
        (await read(connection, `SELECT count(*) FROM e2e_hidden WHERE client = 'all' AND ${condition}`, values))[0][0];
      for (const [column, value] of Object.entries(hiddenValues)) assert.equal(await count(`${column} = ?`, value), 0, column);
      for (const [value, found] of [['[ssn]', 8], ['078-05-1124', 0], ['[ssn]', 8]]) assert.equal(await count('ssn = ?', value), found);
      assert.equal(await count('ssn IN (?, ?)', '078-05-1121', '078-05-1124'), 0);
    }
  },

  async 'hidden-writes'(connection) {
    await connection.execute('DELETE FROM e2e_hidden WHERE client = ?', [me]);
    const put = "INSERT INTO e2e_hidden (client, id, name, ssn, code) VALUES (?, ?, 'mine', ?, ?)";
    for (let i = 0; i < 6; i += 1) await (i % 2 ? rows : prepared)(connection, put, [me, i, '078-05-9999', 5]);
    const mine = () => prepared(connection, "SELECT count(*) FROM e2e_hidden WHERE client = ? AND ssn = '[ssn]' AND name = 'mine'", [me]);
    assert.deepEqual(await mine(), [[6]]);
    await connection.beginTransaction();
    await connection.execute("UPDATE e2e_hidden SET name = 'new' WHERE client = ?", [me]);
    assert.deepEqual(await mine(), [[0]]);
    await connection.rollback();
    for (const [sql, values] of [["UPDATE e2e_hidden SET name = 'x' WHERE ssn = ?", ['078-05-1124']],
      ["DELETE FROM e2e_hidden WHERE client = 'x' AND code = ?", [1004]], ['UPDATE e2e_hidden SET ssn = ? WHERE client = ?', ['x', me]]]) {
      await fails(connection, 1142, sql, values);
      await assert.rejects(connection.execute(sql, values), errno(1142));
    }
    assert.deepEqual(await mine(), [[6]]);
  },
};

if (env.E2E_HIDDEN) Object.assign(checks, hiddenChecks);
else console.log('skip hidden: nothing is hidden from this caller');

let failed = false;
let connection = await mysql.createConnection(settings);
for (const [name, check] of Object.entries(checks)) {
  try {
    await check(connection);
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    const line = /client\.mjs:(\d+)/.exec(error.stack)?.[1];
    console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' ').slice(0, 400)} (line ${line})`);
    connection.destroy();
    connection = await mysql.createConnection(settings);
  }
}
await connection.end();
process.exit(failed ? 1 : 0);
