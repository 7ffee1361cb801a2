import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

// Checks over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.
final class Hidden {
    private static final String TABLE = System.getenv().getOrDefault("E2E_PREFIX", "e2e_") + "hidden";
    private static final String COLUMNS = "id, name, ssn, mail, code, big, pay, born, seen, who, raw, doc, ok";
    private static final List<String> TYPES = List.of(
        "int4", "text", "text", "varchar", "int4", "int8", "numeric", "date", "timestamptz", "uuid", "bytea", "jsonb", "bool");
    private static final String SELECT = "SELECT " + COLUMNS + " FROM " + TABLE + " WHERE client = ? AND id > ? ORDER BY ssn, id";

    private Hidden() {}

    // Values that are there.
    private static Map<String, Object> values() {
        Map<String, Object> values = new LinkedHashMap<>();
        values.put("ssn", "078-05-1124");
        values.put("mail", "user4@example.com");
        values.put("code", 1004);
        values.put("big", 1000000000004L);
        values.put("pay", new BigDecimal("402.00"));
        values.put("born", LocalDate.of(1970, 1, 5));
        values.put("seen", OffsetDateTime.parse("2024-03-04T12:00:00Z"));
        values.put("who", UUID.fromString("00000000-0000-4000-8000-000000000004"));
        values.put("raw", new byte[] {4});
        values.put("ok", true);
        return values;
    }

    private static void expectRows(ResultSet rows, int from) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        List<String> names = new ArrayList<>();
        List<String> types = new ArrayList<>();
        for (int i = 1; i <= meta.getColumnCount(); i++) {
            names.add(meta.getColumnName(i));
            types.add(meta.getColumnTypeName(i));
        }
        Client.expect(List.of(COLUMNS.split(", ")), names);
        Client.expect(TYPES, types);
        int id = from;
        for (; rows.next(); id++) {
            Object[] got = {
                rows.getInt(1), rows.getString(2), rows.getString(3), rows.getString(4), rows.getObject(5), rows.getLong(6),
                rows.getBigDecimal(7), rows.getObject(8, LocalDate.class), rows.getObject(9), rows.getObject(10), rows.getBytes(11),
                rows.getString(12), rows.getObject(13)};
            Client.expect(new Object[] {
                id, id == 5 ? null : "Name " + id, "[ssn]", "nobody@example.com", null, 7L, new BigDecimal("12.34"),
                LocalDate.of(1900, 1, 1), null, null, null, "\"[masked]\"", null}, got);
        }
        Client.expect(9, id);
    }

    static void rows(Connection connection) throws Exception {
        // Binary results and a named statement after the fifth run.
        try (PreparedStatement get = connection.prepareStatement(SELECT)) {
            for (int run = 0; run < 8; run++) {
                get.setString(1, "all");
                get.setInt(2, run % 2);
                try (ResultSet rows = get.executeQuery()) {
                    expectRows(rows, 1 + run % 2);
                }
            }
        }
        try (Connection simple = Client.connect("preferQueryMode", "simple"); PreparedStatement get = simple.prepareStatement(SELECT)) {
            get.setString(1, "all");
            get.setInt(2, 0);
            try (ResultSet rows = get.executeQuery()) {
                expectRows(rows, 1);
            }
        }
    }

    static void filters(Connection connection) throws Exception {
        String count = "SELECT count(*) FROM " + TABLE + " WHERE client = 'all' AND ";
        for (Map.Entry<String, Object> entry : values().entrySet()) {
            try (PreparedStatement get = connection.prepareStatement(count + entry.getKey() + " = ?")) {
                for (int run = 0; run < 7; run++) {
                    get.setObject(1, entry.getValue());
                    try (ResultSet row = get.executeQuery()) {
                        row.next();
                        Client.expect(0L, row.getLong(1));
                    }
                }
            }
        }
        try (PreparedStatement get = connection.prepareStatement(count + "ssn = ?")) {
            for (int run = 0; run < 8; run++) {
                get.setString(1, run % 2 == 0 ? "[ssn]" : "078-05-1124");
                try (ResultSet row = get.executeQuery()) {
                    row.next();
                    Client.expect(run % 2 == 0 ? 8L : 0L, row.getLong(1));
                }
            }
        }
    }

    static void cursor(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        try (PreparedStatement get = connection.prepareStatement(SELECT)) {
            get.setFetchSize(3);
            for (int run = 0; run < 7; run++) {
                get.setString(1, "all");
                get.setInt(2, 0);
                try (ResultSet rows = get.executeQuery()) {
                    expectRows(rows, 1);
                }
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void copy(Connection connection) throws Exception {
        CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        String query = "SELECT id, ssn, code, big FROM " + TABLE + " WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id";
        Client.expect(8L, copies.copyOut("COPY (" + query + ") TO STDOUT (FORMAT csv)", out));
        Client.expect("1,\"[ssn]\",,\"7\"", out.toString(StandardCharsets.UTF_8).split("\n")[0]);
        out.reset();
        copies.copyOut("COPY " + TABLE + " (ssn, born) TO STDOUT (FORMAT binary)", out);
        String binary = out.toString(StandardCharsets.ISO_8859_1);
        Client.expect(new Object[] {true, false}, new Object[] {binary.contains("[ssn]"), binary.contains("078-05")});
    }

    static void writes(Connection connection) throws Exception {
        String mine = " WHERE client = 'jdbc'";
        Client.execute(connection, "DELETE FROM " + TABLE + mine);
        String insert = "INSERT INTO " + TABLE + " (client, id, name, ssn, code, born) VALUES ('jdbc', ?, 'mine', ?, ?, ?)";
        try (PreparedStatement put = connection.prepareStatement(insert + " RETURNING id, ssn, code")) {
            for (int i = 0; i < 7; i++) {
                put.setInt(1, i);
                put.setString(2, "078-05-9999");
                put.setInt(3, 5);
                put.setObject(4, LocalDate.of(1970, 1, 5));
                try (ResultSet row = put.executeQuery()) {
                    row.next();
                    Client.expect(new Object[] {i, "[ssn]", null}, new Object[] {row.getInt(1), row.getString(2), row.getObject(3)});
                }
            }
        }
        try (PreparedStatement put = connection.prepareStatement(insert, new String[] {"ssn", "id"})) {
            for (int i = 10; i < 20; i++) {
                put.setInt(1, i);
                put.setString(2, "078-05-9999");
                put.setInt(3, 5);
                put.setObject(4, null);
                put.addBatch();
            }
            Client.expect(10, put.executeBatch().length);
            try (ResultSet keys = put.getGeneratedKeys()) {
                keys.next();
                Client.expect("[ssn]", keys.getString(1));
            }
        }
        connection.setAutoCommit(false);
        Client.execute(connection, "UPDATE " + TABLE + " SET ssn = '1', name = 'new'" + mine);
        Client.expect(17L, Client.number(connection, "SELECT count(*) FROM " + TABLE + mine + " AND name = 'new'"));
        connection.rollback();
        connection.setAutoCommit(true);
        Map<String, Object> refused = Map.of(
            "UPDATE " + TABLE + " SET name = 'x' WHERE ssn = ?", "078-05-1124",
            "DELETE FROM " + TABLE + " WHERE client = 'x' AND code = ?", 1004,
            "UPDATE " + TABLE + " SET ssn = ?" + mine, "[ssn]");
        for (Map.Entry<String, Object> entry : refused.entrySet()) {
            try (PreparedStatement statement = connection.prepareStatement(entry.getKey())) {
                for (int run = 0; run < 7; run++) {
                    statement.setObject(1, entry.getValue());
                    Client.expectState("42501", c -> statement.execute(), connection);
                }
            }
        }
        Client.expect(17L, Client.number(connection, "SELECT count(*) FROM " + TABLE + mine + " AND name = 'mine'"));
    }
}
