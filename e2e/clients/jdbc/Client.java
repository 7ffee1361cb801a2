// pgjdbc through the gateway.
//
// Behind the scenes: everything is the extended query protocol. After five runs (prepareThreshold) a PreparedStatement
// becomes a named one (`S_1`) and its results binary; portals with a fetch size are named (`C_2`). With autocommit off,
// `BEGIN` goes before the first statement as a statement of its own, then COMMIT or ROLLBACK, savepoints are
// JDBC_SAVEPOINT_0 and on. At connection set-up it sends `SET application_name = '…'` if there is one; DateStyle,
// TimeZone, client_encoding and extra_float_digits are start-up parameters. isValid() sends an empty query. createArrayOf and getArray ask pg_catalog.pg_type
// (joined with pg_namespace, through `current_schemas(true)` and generate_series) for types that are not built in.
// getMetaData() and DatabaseMetaData ask pg_catalog (not used here). batches send many Bind/Execute for one Sync, with
// a forced Sync every so often. CopyManager sends the COPY by the simple protocol. cancel() is a CancelRequest, over TLS.
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public final class Client {
    private static final String ME = "jdbc";
    private static final String PREFIX = System.getenv().getOrDefault("E2E_PREFIX", "e2e_");
    private static final String ITEMS = PREFIX + "items";
    private static final String SAMPLES = PREFIX + "samples";
    private static final String BULK = PREFIX + "bulk";
    private static final String COPIED = PREFIX + "copied";

    interface Check {
        void run(Connection connection) throws Exception;
    }

    static Connection connect(String... more) throws Exception {
        Map<String, String> env = System.getenv();
        String file = env.get("DOORWARD_TOKEN_FILE");
        Properties settings = new Properties();
        settings.setProperty("user", env.get("PGUSER"));
        settings.setProperty("password", file == null ? env.get("PGPASSWORD") : Files.readString(Path.of(file)).strip());
        settings.setProperty("sslmode", "verify-full");
        settings.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        settings.setProperty("ApplicationName", "e2e-jdbc");
        settings.setProperty("connectTimeout", "10");
        for (int i = 0; i < more.length; i += 2) {
            settings.setProperty(more[i], more[i + 1]);
        }
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        return DriverManager.getConnection(url, settings);
    }

    static void expect(Object expected, Object actual) {
        if (!Objects.deepEquals(expected, actual)) {
            throw new AssertionError("expected " + show(expected) + ", got " + show(actual));
        }
    }

    private static String show(Object value) {
        return value instanceof Object[] array ? Arrays.deepToString(array) : String.valueOf(value);
    }

    static void expectState(String state, Check statement, Connection connection) throws Exception {
        try {
            statement.run(connection);
        } catch (SQLException error) {
            expect(state, error.getSQLState());
            return;
        }
        throw new AssertionError("expected SQLSTATE " + state + ", got no error");
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getLong(1);
        }
    }

    // sslmode=verify-full fails without TLS; this asks the driver's own socket all the same.
    private static void tls(Connection connection) throws Exception {
        org.postgresql.core.BaseConnection base = connection.unwrap(org.postgresql.core.BaseConnection.class);
        java.lang.reflect.Field stream = org.postgresql.core.QueryExecutorBase.class.getDeclaredField("pgStream");
        stream.setAccessible(true);
        Object socket = ((org.postgresql.core.PGStream) stream.get(base.getQueryExecutor())).getSocket();
        expect(true, socket instanceof javax.net.ssl.SSLSocket);
    }

    private static void select(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT 1, 'héllo', true")) {
            expect(true, rows.next());
            expect(new Object[] {1, "héllo", true}, new Object[] {rows.getInt(1), rows.getString(2), rows.getBoolean(3)});
            expect(false, rows.next());
        }
        expect(true, connection.isValid(5));
    }

    private static void prepared(Connection connection) throws Exception {
        execute(connection, "DELETE FROM " + ITEMS + " WHERE client = 'jdbc'");
        try (PreparedStatement put = connection.prepareStatement("INSERT INTO " + ITEMS + " VALUES (?, ?, ?, ?)");
                PreparedStatement get = connection.prepareStatement("SELECT name, qty FROM " + ITEMS + " WHERE client = ? AND id = ?")) {
            for (int i = 0; i < 100; i++) {
                put.setString(1, ME);
                put.setInt(2, i);
                put.setString(3, "item " + i);
                put.setInt(4, i);
                expect(1, put.executeUpdate());
            }
            for (int i = 0; i < 100; i++) {
                get.setString(1, ME);
                get.setInt(2, i);
                try (ResultSet rows = get.executeQuery()) {
                    rows.next();
                    expect(new Object[] {"item " + i, i}, new Object[] {rows.getString(1), rows.getInt(2)});
                }
            }
        }
    }

    private static void transaction(Connection connection) throws Exception {
        String late = "SELECT count(*) FROM " + ITEMS + " WHERE client = 'jdbc' AND id >= 1000";
        connection.setAutoCommit(false);
        execute(connection, "INSERT INTO " + ITEMS + " VALUES ('jdbc', 1001, 'undone', 1)");
        expect(1L, number(connection, late));
        connection.rollback();
        expect(0L, number(connection, late));
        execute(connection, "INSERT INTO " + ITEMS + " VALUES ('jdbc', 1002, 'kept', 1)");
        connection.commit();
        connection.setAutoCommit(true);
        expect(1L, number(connection, late));
    }

    private static void errorRecovery(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        Map<String, String> failing = Map.of("SELECT 1/0", "22012", "SELECT * FROM e2e_no_such_table", "42P01");
        for (Map.Entry<String, String> entry : failing.entrySet()) {
            Savepoint savepoint = connection.setSavepoint();
            expectState(entry.getValue(), c -> execute(c, entry.getKey()), connection);
            connection.rollback(savepoint);
            expect(7L, number(connection, "SELECT 7"));
        }
        expectState("22012", c -> execute(c, "SELECT 1/0"), connection);
        expectState("25P02", c -> execute(c, "SELECT 1"), connection);
        connection.rollback();
        connection.setAutoCommit(true);
        expect(8L, number(connection, "SELECT 8"));
    }

    private static void batch(Connection connection) throws Exception {
        String total = "SELECT sum(qty) FROM " + ITEMS + " WHERE client = 'jdbc' AND id BETWEEN 2000 AND 3999";
        for (String rewrite : new String[] {"false", "true"}) {
            execute(connection, "DELETE FROM " + ITEMS + " WHERE client = 'jdbc' AND id BETWEEN 2000 AND 3999");
            try (Connection other = connect("reWriteBatchedInserts", rewrite);
                    PreparedStatement put = other.prepareStatement("INSERT INTO " + ITEMS + " VALUES (?, ?, ?, ?)")) {
                for (int i = 0; i < 2000; i++) {
                    put.setString(1, ME);
                    put.setInt(2, 2000 + i);
                    put.setString(3, "batched");
                    put.setInt(4, 1);
                    put.addBatch();
                }
                expect(2000, put.executeBatch().length);
            }
            expect(2000L, number(connection, total));
        }
        expectState("23505", c -> {
            try (Statement statement = c.createStatement()) {
                statement.addBatch("UPDATE " + ITEMS + " SET qty = 5 WHERE client = 'jdbc' AND id = 2000");
                statement.addBatch("INSERT INTO " + ITEMS + " VALUES ('jdbc', 2000, 'twice', 1)");
                statement.addBatch("UPDATE " + ITEMS + " SET qty = 5 WHERE client = 'jdbc' AND id = 2001");
                statement.executeBatch();
            }
        }, connection);
        // Two results of one call.
        try (Statement statement = connection.createStatement()) {
            statement.execute("SELECT 1; SELECT 2");
            expect(true, statement.getMoreResults());
            statement.getResultSet().next();
        }
    }

    private static void largeResult(Connection connection) throws Exception {
        for (int fetchSize : new int[] {1000, 0}) {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(fetchSize);
                long count = 0;
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT id, payload FROM " + BULK)) {
                    while (rows.next()) {
                        count++;
                        sum += rows.getInt(1);
                    }
                }
                expect(new Object[] {100000L, 5000050000L}, new Object[] {count, sum});
            }
            connection.commit();
            connection.setAutoCommit(true);
        }
    }

    private static void copyIn(Connection connection) throws Exception {
        execute(connection, "DELETE FROM " + COPIED + " WHERE client = 'jdbc'");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 10000; i++) {
            text.append(ME).append(',').append(i).append(",note ").append(i).append(" ü\n");
        }
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        String copy = "COPY " + COPIED + " (client, id, note) FROM STDIN (FORMAT csv)";
        expect(10000L, connection.unwrap(PGConnection.class).getCopyAPI().copyIn(copy, new ByteArrayInputStream(bytes)));
        expect(10000L, number(connection, "SELECT count(*) FROM " + COPIED + " WHERE client = 'jdbc'"));
        org.postgresql.copy.CopyIn givenUp = connection.unwrap(PGConnection.class).getCopyAPI().copyIn(copy);
        givenUp.writeToCopy(bytes, 0, 10);
        givenUp.cancelCopy();
        expect(9L, number(connection, "SELECT 9"));
    }

    private static void copyOut(Connection connection) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        String copy = "COPY (SELECT id, note FROM " + COPIED + " WHERE client = 'jdbc' ORDER BY id) TO STDOUT (FORMAT csv)";
        expect(10000L, connection.unwrap(PGConnection.class).getCopyAPI().copyOut(copy, out));
        String[] lines = out.toString(StandardCharsets.UTF_8).split("\n");
        expect(new Object[] {10000, "0,note 0 ü", "9999,note 9999 ü"}, new Object[] {lines.length, lines[0], lines[9999]});
    }

    private static void types(Connection connection) throws Exception {
        Object[] sample = {
            "žluťoučký 🐘 你好", new byte[] {0, (byte) 0xff, 0x10}, new Integer[] {1, null, 3}, new String[] {"a b", null, "\"q\""},
            new BigDecimal("98765432.1234567891"), OffsetDateTime.parse("2024-02-29T12:34:56.789012Z"),
            LocalDate.of(1999, 12, 31), UUID.fromString("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), 0.1, true, null,
            "{\"k\": [1, null, \"ü\"]}"};
        String columns = "t, b, ints, texts, n, ts, d, u, f, yes, nothing, j";
        execute(connection, "DELETE FROM " + SAMPLES + " WHERE client = 'jdbc'");
        String insert = "INSERT INTO " + SAMPLES + " (client, id, " + columns + ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
        try (PreparedStatement put = connection.prepareStatement(insert)) {
            put.setString(1, ME);
            put.setInt(2, 1);
            for (int i = 0; i < sample.length; i++) {
                switch (i) {
                    case 2 -> put.setArray(i + 3, connection.createArrayOf("int4", (Object[]) sample[i]));
                    case 3 -> put.setArray(i + 3, connection.createArrayOf("text", (Object[]) sample[i]));
                    case 10 -> put.setNull(i + 3, Types.VARCHAR);
                    case 11 -> put.setObject(i + 3, sample[i], Types.OTHER);
                    default -> put.setObject(i + 3, sample[i]);
                }
            }
            expect(1, put.executeUpdate());
        }
        // Text results at first, binary ones after the fifth run.
        try (PreparedStatement get = connection.prepareStatement("SELECT " + columns + " FROM " + SAMPLES + " WHERE client = ?")) {
            for (int run = 0; run < 8; run++) {
                get.setString(1, ME);
                try (ResultSet row = get.executeQuery()) {
                    row.next();
                    Object[] got = {
                        row.getString(1), row.getBytes(2), row.getArray(3).getArray(), row.getArray(4).getArray(),
                        row.getBigDecimal(5), row.getObject(6, OffsetDateTime.class), row.getObject(7, LocalDate.class),
                        row.getObject(8, UUID.class), row.getDouble(9), row.getBoolean(10), row.getString(11), row.getString(12)};
                    expect(sample, got);
                }
            }
        }
    }

    private static void cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            long begun = System.nanoTime();
            CompletableFuture.delayedExecutor(500, TimeUnit.MILLISECONDS).execute(() -> {
                try {
                    statement.cancel();
                } catch (SQLException error) {
                    System.out.println("cancel: " + error);
                }
            });
            expectState("57014", c -> statement.execute("SELECT pg_sleep(30)"), connection);
            expect(true, System.nanoTime() - begun < TimeUnit.SECONDS.toNanos(3));
        }
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            expectState("57014", c -> statement.execute("SELECT pg_sleep(30)"), connection);
        }
        expect(10L, number(connection, "SELECT 10"));
    }

    private static void notifyCheck(Connection connection) throws Exception {
        execute(connection, "LISTEN e2e_jdbc");
        try (Connection other = connect(); PreparedStatement send = other.prepareStatement("SELECT pg_notify('e2e_jdbc', ?)")) {
            send.setString(1, "hello, wörld");
            send.execute();
        }
        PGNotification[] received = connection.unwrap(PGConnection.class).getNotifications(5000);
        expect(1, received.length);
        expect(new Object[] {"e2e_jdbc", "hello, wörld"}, new Object[] {received[0].getName(), received[0].getParameter()});
        execute(connection, "UNLISTEN e2e_jdbc");
    }

    private static void simpleProtocol(Connection ignored) throws Exception {
        try (Connection connection = connect("preferQueryMode", "simple")) {
            try (PreparedStatement get = connection.prepareStatement("SELECT ?::int + 1, ?::text")) {
                get.setInt(1, 41);
                get.setString(2, "it's");
                try (ResultSet rows = get.executeQuery()) {
                    rows.next();
                    expect(new Object[] {42, "it's"}, new Object[] {rows.getInt(1), rows.getString(2)});
                }
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("tls", Client::tls);
        checks.put("select", Client::select);
        checks.put("prepared", Client::prepared);
        checks.put("transaction", Client::transaction);
        checks.put("error-recovery", Client::errorRecovery);
        checks.put("batch", Client::batch);
        checks.put("large-result", Client::largeResult);
        checks.put("copy-in", Client::copyIn);
        checks.put("copy-out", Client::copyOut);
        checks.put("types", Client::types);
        if (System.getenv("E2E_HIDDEN") == null) {
            System.out.println("skip hidden: nothing is hidden from this caller");
        } else {
            checks.put("hidden-rows", Hidden::rows);
            checks.put("hidden-filters", Hidden::filters);
            checks.put("hidden-cursor", Hidden::cursor);
            checks.put("hidden-copy", Hidden::copy);
            checks.put("hidden-writes", Hidden::writes);
        }
        checks.put("cancel", Client::cancel);
        checks.put("notify", Client::notifyCheck);
        checks.put("simple-protocol", Client::simpleProtocol);
        boolean failed = false;
        try (Connection connection = connect()) {
            for (Map.Entry<String, Check> check : checks.entrySet()) {
                try {
                    check.getValue().run(connection);
                    System.out.println("ok " + check.getKey());
                } catch (Exception | AssertionError error) {
                    failed = true;
                    String text = error.toString().replace('\n', ' ');
                    System.out.println("FAIL " + check.getKey() + ": " + text.substring(0, Math.min(400, text.length())));
                    if (!connection.getAutoCommit()) {
                        connection.rollback();
                        connection.setAutoCommit(true);
                    }
                }
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
