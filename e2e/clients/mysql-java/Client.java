// MySQL Connector/J (`mysql`) and MariaDB Connector/J (`mariadb`) through the gateway.
//
// Behind the scenes: as it connects, MySQL's asks for some twenty variables at once (`/* mysql-connector-j-… */SELECT
// @@session.auto_increment_increment AS auto_increment_increment, … @@sql_mode AS sql_mode, …`), sends `SET
// character_set_results = NULL`, and `SET sql_mode='…,STRICT_TRANS_TABLES'` if that mode is missing; setAutoCommit() is `SET autocommit=0`. Metadata come
// from information_schema or `SHOW …`. MariaDB's sends `set autocommit=1,…` and asks for `@@max_allowed_packet` and others, all
// in one go. Statements are text unless useServerPrepStmts is set. cancel() and a query's time-out are `KILL QUERY n`
// over another connection, isValid() COM_PING. The token needs no setting: both answer mysql_clear_password over TLS.
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public final class Client {
    private static final Map<String, String> ENV = System.getenv();
    private static boolean isMysql;
    private static String me;

    interface Check {
        void run(Connection connection) throws Exception;
    }

    static String me() {
        return me;
    }

    private static String password() throws Exception {
        String file = ENV.get("DOORWARD_TOKEN_FILE");
        return file == null ? ENV.get("E2E_MYSQL_PASSWORD") : Files.readString(Path.of(file)).strip();
    }

    // MySQL's wants the authority in a key store.
    private static String keyStore(String authority) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(Path.of(authority))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        Path file = Files.createTempFile("e2e", ".p12");
        file.toFile().deleteOnExit();
        try (var out = Files.newOutputStream(file)) {
            store.store(out, "changeit".toCharArray());
        }
        return file.toUri().toString();
    }

    private static Connection connect(String... more) throws Exception {
        return connectTrusting(ENV.get("E2E_MYSQL_CA"), more);
    }

    private static Connection connectTrusting(String authority, String... more) throws Exception {
        Properties settings = new Properties();
        settings.setProperty("user", ENV.get("E2E_MYSQL_USER"));
        settings.setProperty("password", password());
        settings.setProperty("connectTimeout", "10000");
        settings.setProperty("allowMultiQueries", "true");
        settings.setProperty("connectionTimeZone", "UTC");
        if (isMysql) {
            settings.setProperty("sslMode", "VERIFY_IDENTITY");
            settings.setProperty("trustCertificateKeyStoreUrl", keyStore(authority));
            settings.setProperty("trustCertificateKeyStoreType", "PKCS12");
            settings.setProperty("trustCertificateKeyStorePassword", "changeit");
            settings.setProperty("allowLoadLocalInfile", "true");
            // MariaDB shows the text of a procedure to its owner alone.
            settings.setProperty("noAccessToProcedureBodies", "true");
        } else {
            settings.setProperty("sslMode", "verify-full");
            settings.setProperty("serverSslCert", authority);
            settings.setProperty("allowLocalInfile", "true");
        }
        for (int i = 0; i < more.length; i += 2) {
            settings.setProperty(more[i], more[i + 1]);
        }
        String scheme = isMysql ? "jdbc:mysql://" : "jdbc:mariadb://";
        String url = scheme + ENV.get("E2E_MYSQL_HOST") + ":" + ENV.get("E2E_MYSQL_PORT") + "/" + ENV.get("E2E_MYSQL_DATABASE");
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

    static void expectCode(int code, Connection connection, Check statement) throws Exception {
        try {
            statement.run(connection);
        } catch (SQLException error) {
            expect(code, error.getErrorCode());
            return;
        }
        throw new AssertionError("expected error " + code + ", got none");
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

    private static void tls(Connection connection) throws Exception {
        try (Connection other = connectTrusting(ENV.get("E2E_MYSQL_OTHER_CA"))) {
            throw new AssertionError("a certificate of an unknown authority was trusted: " + other);
        } catch (SQLException expected) {
            for (Throwable cause = expected; ; cause = cause.getCause()) {
                if (cause == null) {
                    throw expected;
                }
                if (cause instanceof javax.net.ssl.SSLException || cause instanceof java.security.cert.CertificateException) {
                    return;
                }
            }
        }
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

    private static void parameters(Connection connection) throws Exception {
        execute(connection, "DELETE FROM e2e_items WHERE client = '" + me + "'");
        try (PreparedStatement put = connection.prepareStatement("INSERT INTO e2e_items VALUES (?, ?, ?, ?)");
                PreparedStatement get = connection.prepareStatement("SELECT name, qty FROM e2e_items WHERE client = ? AND id = ?")) {
            for (int i = 0; i < 100; i++) {
                put.setString(1, me);
                put.setInt(2, i);
                put.setString(3, "item ' \\ " + i);
                put.setInt(4, i);
                expect(1, put.executeUpdate());
            }
            for (int i = 0; i < 100; i++) {
                get.setString(1, me);
                get.setInt(2, i);
                try (ResultSet rows = get.executeQuery()) {
                    rows.next();
                    expect(new Object[] {"item ' \\ " + i, i}, new Object[] {rows.getString(1), rows.getInt(2)});
                }
            }
        }
        String insert = "INSERT INTO e2e_numbered (client, name) VALUES (?, 'x')";
        try (PreparedStatement put = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
            put.setString(1, me);
            put.executeUpdate();
            try (ResultSet keys = put.getGeneratedKeys()) {
                expect(true, keys.next() && keys.getInt(1) > 0);
            }
        }
    }

    private static void transaction(Connection connection) throws Exception {
        String late = "SELECT count(*) FROM e2e_items WHERE client = '" + me + "' AND id > 1000";
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        connection.setAutoCommit(false);
        execute(connection, "DELETE FROM e2e_items WHERE client = '" + me + "' AND id > 1000");
        execute(connection, "INSERT INTO e2e_items VALUES ('" + me + "', 1001, 'undone', 1)");
        expect(1L, number(connection, late));
        connection.rollback();
        execute(connection, "DELETE FROM e2e_items WHERE client = '" + me + "' AND id > 1000");
        expect(0L, number(connection, late));
        Savepoint savepoint = connection.setSavepoint("s");
        execute(connection, "INSERT INTO e2e_items VALUES ('" + me + "', 1003, 'undone', 1)");
        connection.rollback(savepoint);
        execute(connection, "INSERT INTO e2e_items VALUES ('" + me + "', 1002, 'kept', 1)");
        expectCode(1142, connection, c -> execute(c, "DROP TABLE e2e_people"));
        connection.commit();
        connection.setAutoCommit(true);
        expect(1L, number(connection, late));
    }

    private static void errors(Connection connection) throws Exception {
        Map<String, Integer> failing = Map.of(
            "SELECT * FROM e2e_no_such_table", 1146, "INSERT INTO e2e_items VALUES ('" + me + "', 1002, 'twice', 1)", 1062,
            "SELECT 1 FROM FROM", 1227, "DROP TABLE e2e_people", 1142, "INSERT INTO e2e_people (id) VALUES (3)", 1142,
            "DELETE FROM e2e_items", 1142, "SELECT * FROM mysql.user", 1142);
        for (Map.Entry<String, Integer> entry : failing.entrySet()) {
            expectCode(entry.getValue(), connection, c -> execute(c, entry.getKey()));
            expectCode(entry.getValue(), connection, c -> {
                try (PreparedStatement statement = c.prepareStatement(entry.getKey())) {
                    statement.execute();
                }
            });
            expect(7L, number(connection, "SELECT 7"));
        }
    }

    private static void masked(Connection connection) throws Exception {
        String people = "SELECT name, email, card, born, notes FROM e2e_people WHERE id = ?";
        try (PreparedStatement get = connection.prepareStatement(people)) {
            get.setInt(1, 1);
            for (int run = 0; run < 3; run++) {
                try (ResultSet row = get.executeQuery()) {
                    row.next();
                    Object[] got = {row.getString(1), row.getString(2), row.getString(3), row.getDate(4), row.getString(5)};
                    expect(new Object[] {"Name 1", "[email]", "************1111", null, "mail [email]"}, got);
                }
            }
        }
    }

    private static void types(Connection connection) throws Exception {
        Object[] sample = {
            -128, 255, Integer.MIN_VALUE, 4294967295L, Long.MIN_VALUE, new BigDecimal("18446744073709551615"),
            new BigDecimal("98765432.1234567891"), 0.1, LocalDate.of(1999, 12, 31), LocalDateTime.parse("2024-02-29T12:34:56.789012"),
            LocalDateTime.parse("2024-02-29T12:34:56.789012"), 2024, "žluťoučký 🐘 你好", new byte[] {0, (byte) 0xff, 0x10, 39, 92, 10},
            "{\"k\": [1, null, \"ü\"]}", true, null};
        String columns = "ti, tu, i, iu, b, bu, n, f, d, dt, ts, y, txt, bl, j, yes, nothing";
        execute(connection, "DELETE FROM e2e_samples WHERE client = '" + me + "'");
        String marks = "?" + ", ?".repeat(sample.length + 2);
        String insert = "INSERT INTO e2e_samples (client, id, t, " + columns + ") VALUES (" + marks + ")";
        try (PreparedStatement put = connection.prepareStatement(insert)) {
            put.setString(1, me);
            put.setInt(2, 1);
            put.setString(3, "-12:34:56.789012");
            for (int i = 0; i < sample.length; i++) {
                // MySQL's sends no fractions to MariaDB, whose version it takes for 5.5.
                put.setObject(i + 4, sample[i] instanceof LocalDateTime when ? when.toString().replace('T', ' ') : sample[i]);
            }
            expect(1, put.executeUpdate());
        }
        try (PreparedStatement get = connection.prepareStatement("SELECT " + columns + ", t FROM e2e_samples WHERE client = ?")) {
            get.setString(1, me);
            for (int run = 0; run < 3; run++) {
                try (ResultSet row = get.executeQuery()) {
                    row.next();
                    Object[] got = {
                        row.getInt(1), row.getInt(2), row.getInt(3), row.getLong(4), row.getLong(5), row.getBigDecimal(6),
                        row.getBigDecimal(7), row.getDouble(8), row.getObject(9, LocalDate.class), row.getObject(10, LocalDateTime.class),
                        row.getObject(11, LocalDateTime.class), row.getInt(12), row.getString(13), row.getBytes(14), row.getString(15),
                        row.getBoolean(16), row.getString(17)};
                    for (int i = 0; i < got.length; i++) {
                        if (!Objects.deepEquals(sample[i], got[i])) {
                            throw new AssertionError("column " + i + ": expected " + sample[i] + ", got " + got[i]);
                        }
                    }
                    expect("-12:34:56.789012", row.getString(18));
                }
            }
        }
    }

    private static void batch(Connection connection) throws Exception {
        String total = "SELECT sum(qty) FROM e2e_items WHERE client = '" + me + "' AND id BETWEEN 2000 AND 3999";
        for (String rewrite : new String[] {"false", "true"}) {
            execute(connection, "DELETE FROM e2e_items WHERE client = '" + me + "' AND id BETWEEN 2000 AND 3999");
            // MariaDB's sends them as one COM_STMT_BULK_EXECUTE to its own server.
            String option = isMysql ? "rewriteBatchedStatements" : "useBulkStmts";
            try (Connection other = connect(option, rewrite);
                    PreparedStatement put = other.prepareStatement("INSERT INTO e2e_items VALUES (?, ?, ?, ?)")) {
                for (int i = 0; i < 200; i++) {
                    put.setString(1, me);
                    put.setInt(2, 2000 + i);
                    put.setString(3, "batched");
                    put.setInt(4, 1);
                    put.addBatch();
                }
                expect(200, put.executeBatch().length);
            }
            expect(200L, number(connection, total));
        }
        expectCode(1062, connection, c -> {
            try (Statement statement = c.createStatement()) {
                statement.addBatch("UPDATE e2e_items SET qty = 5 WHERE client = '" + me + "' AND id = 2000");
                statement.addBatch("INSERT INTO e2e_items VALUES ('" + me + "', 2000, 'twice', 1)");
                statement.executeBatch();
            }
        });
        // Two results of one text, and a text of which one is refused.
        try (Statement statement = connection.createStatement()) {
            statement.execute("SELECT 1; SELECT 2");
            expect(true, statement.getMoreResults());
            statement.getResultSet().next();
            expect(2, statement.getResultSet().getInt(1));
        }
        String both = "INSERT INTO e2e_items VALUES ('" + me + "', 1004, 'x', 1); DROP TABLE e2e_people";
        expectCode(1142, connection, c -> execute(c, both));
        expect(0L, number(connection, "SELECT count(*) FROM e2e_items WHERE client = '" + me + "' AND id = 1004"));
    }

    private static void big(Connection connection) throws Exception {
        byte[] big = new byte[17 << 20];
        Arrays.fill(big, (byte) 0xfe);
        execute(connection, "DELETE FROM e2e_big WHERE client = '" + me + "'");
        try (PreparedStatement put = connection.prepareStatement("INSERT INTO e2e_big VALUES (?, ?)")) {
            put.setString(1, me);
            put.setBytes(2, big);
            put.executeUpdate();
        }
        try (PreparedStatement get = connection.prepareStatement("SELECT data FROM e2e_big WHERE client = ?")) {
            get.setString(1, me);
            try (ResultSet row = get.executeQuery()) {
                row.next();
                expect(true, Arrays.equals(big, row.getBytes(1)));
            }
        }
        // As a stream: COM_STMT_SEND_LONG_DATA where statements are prepared by the server.
        try (PreparedStatement put = connection.prepareStatement("UPDATE e2e_big SET data = ? WHERE client = ?")) {
            put.setBinaryStream(1, new ByteArrayInputStream(big, 0, 100_000), 100_000);
            put.setString(2, me);
            put.executeUpdate();
        }
        expect(100_000L, number(connection, "SELECT length(data) FROM e2e_big WHERE client = '" + me + "'"));
        execute(connection, "DELETE FROM e2e_big WHERE client = '" + me + "'");
    }

    private static void largeResult(Connection connection) throws Exception {
        for (int fetchSize : new int[] {0, 1000, isMysql ? Integer.MIN_VALUE : 1}) {
            try (PreparedStatement statement = connection.prepareStatement("SELECT id, payload FROM e2e_bulk WHERE id > ?")) {
                statement.setFetchSize(fetchSize);
                statement.setInt(1, fetchSize == 1 ? 19000 : 0);
                long count = 0;
                long sum = 0;
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        count++;
                        sum += rows.getInt(1);
                    }
                }
                Object[] all = fetchSize == 1 ? new Object[] {1000L, 19500500L} : new Object[] {20000L, 200010000L};
                expect(all, new Object[] {count, sum});
            }
        }
    }

    private static void loadLocal(Connection connection) throws Exception {
        execute(connection, "DELETE FROM e2e_loaded WHERE client = '" + me + "'");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 1000; i++) {
            text.append(me).append('\t').append(i).append("\tnote ").append(i).append(" ü\n");
        }
        Path file = Files.createTempFile("e2e", ".tsv");
        Files.writeString(file, text, StandardCharsets.UTF_8);
        execute(connection, "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE e2e_loaded CHARACTER SET utf8mb4");
        Files.delete(file);
        expect(1000L, number(connection, "SELECT count(*) FROM e2e_loaded WHERE client = '" + me + "'"));
    }

    private static void call(Connection connection) throws Exception {
        try (CallableStatement call = connection.prepareCall("{call e2e_pair(?)}")) {
            call.setInt(1, 7);
            try (ResultSet row = call.executeQuery()) {
                row.next();
                expect(new Object[] {7, 8}, new Object[] {row.getInt(1), row.getInt(2)});
            }
        }
    }

    private static void metadata(Connection connection) throws Exception {
        String database = ENV.get("E2E_MYSQL_DATABASE");
        try (ResultSet tables = connection.getMetaData().getTables(database, null, "e2e_bulk", null)) {
            expect(true, tables.next());
            expect("e2e_bulk", tables.getString("TABLE_NAME"));
        }
        try (ResultSet columns = connection.getMetaData().getColumns(database, null, "e2e_bulk", null)) {
            columns.next();
            expect("id", columns.getString("COLUMN_NAME"));
        }
        try (ResultSet keys = connection.getMetaData().getPrimaryKeys(database, null, "e2e_items")) {
            expect(true, keys.next());
        }
        connection.getMetaData().getDatabaseProductVersion();
        connection.setCatalog(database);
        expect(database, connection.getCatalog());
    }

    private static void cancel(Connection connection) throws Exception {
        String endless = "SELECT count(*) FROM e2e_bulk a, e2e_bulk b, e2e_bulk c WHERE a.payload = b.payload";
        try (Statement statement = connection.createStatement()) {
            long begun = System.nanoTime();
            CompletableFuture.delayedExecutor(500, TimeUnit.MILLISECONDS).execute(() -> {
                try {
                    statement.cancel();
                } catch (SQLException error) {
                    System.out.println("cancel: " + error);
                }
            });
            try {
                statement.executeQuery(endless);
                throw new AssertionError("not cancelled");
            } catch (SQLException cancelled) {
                expect(true, System.nanoTime() - begun < 5_000_000_000L);
            }
        }
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            try {
                statement.executeQuery(endless);
                throw new AssertionError("not timed out");
            } catch (java.sql.SQLTimeoutException timedOut) {
                expect(10L, number(connection, "SELECT 10"));
            }
        }
    }

    private static void openidConnect(Connection connection) throws Exception {
        Path file = Files.createTempFile("e2e", ".jwt");
        Files.writeString(file, password());
        try (Connection other = connect("password", "", "idTokenFile", file.toString(),
                "defaultAuthenticationPlugin", "authentication_openid_connect_client")) {
            expect(1L, number(other, "SELECT 1"));
        } finally {
            Files.delete(file);
        }
    }

    public static void main(String[] arguments) throws Exception {
        isMysql = arguments[0].equals("mysql");
        me = arguments[0] + "-j";
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("tls", Client::tls);
        checks.put("select", Client::select);
        checks.put("parameters", Client::parameters);
        checks.put("transaction", Client::transaction);
        checks.put("errors", Client::errors);
        checks.put("masked", Client::masked);
        checks.put("types", Client::types);
        checks.put("batch", Client::batch);
        checks.put("big", Client::big);
        checks.put("large-result", Client::largeResult);
        checks.put("load-local", Client::loadLocal);
        checks.put("call", Client::call);
        checks.put("metadata", Client::metadata);
        if (ENV.get("E2E_HIDDEN") == null) {
            System.out.println("skip hidden: nothing is hidden from this caller");
        } else {
            checks.put("hidden-rows", Hidden::rows);
            checks.put("hidden-filters", Hidden::filters);
            checks.put("hidden-writes", Hidden::writes);
        }
        checks.put("cancel", Client::cancel);
        boolean failed = false;
        Map<String, String[]> modes = new LinkedHashMap<>();
        modes.put("text", new String[0]);
        modes.put("prepared", new String[] {"useServerPrepStmts", "true", "useCursorFetch", "true"});
        modes.put("compressed", new String[] {"useCompression", "true"});
        for (Map.Entry<String, String[]> mode : modes.entrySet()) {
            Connection connection = connect(mode.getValue());
            for (Map.Entry<String, Check> check : checks.entrySet()) {
                String name = mode.getKey() + "-" + check.getKey();
                if (name.matches("compressed-(tls|parameters|transaction|call|metadata|cancel)")) {
                    continue;
                }
                String server = connection.getMetaData().getDatabaseProductName();
                if (!isMysql && name.equals("prepared-types") && server.equals("MySQL")) {
                    System.out.println("skip " + name + ": MySQL does not take what this driver sends, with or without a gateway");
                    continue;
                }
                try {
                    check.getValue().run(connection);
                    System.out.println("ok " + name);
                } catch (Exception | AssertionError error) {
                    failed = true;
                    report(name, error);
                    connection.abort(Runnable::run);
                    connection = connect(mode.getValue());
                }
            }
            connection.close();
        }
        if (isMysql) {
            try {
                openidConnect(null);
                System.out.println("ok openid-connect");
            } catch (Exception | AssertionError error) {
                failed = true;
                report("openid-connect", error);
            }
        }
        System.exit(failed ? 1 : 0);
    }

    private static void report(String name, Throwable error) {
        String text = String.valueOf(error).replace('\n', ' ');
        int line = Arrays.stream(error.getStackTrace()).filter(f -> f.getClassName().equals("Client")).skip(error instanceof AssertionError ? 1 : 0)
            .mapToInt(StackTraceElement::getLineNumber).findFirst().orElse(0);
        System.out.println("FAIL " + name + ": " + text.substring(0, Math.min(400, text.length())) + " (line " + line + ")");
    }
}
