import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

// Checks over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.
final class Hidden {
    private static final String COLUMNS = "id, name, ssn, mail, code, big, pay, born, seen, raw, ratio";
    private static final String SELECT = "SELECT " + COLUMNS + " FROM e2e_hidden WHERE client = ? AND id > ? ORDER BY ssn, id";

    private Hidden() {}

    // MySQL does not take the dates that MariaDB's driver sends prepared, with or without a gateway.
    private static Object born() {
        return Client.me().equals("mysql-j") ? LocalDate.of(1970, 1, 5) : "1970-01-05";
    }

    // Values that are there.
    private static Map<String, Object> values() {
        Map<String, Object> values = new LinkedHashMap<>();
        values.put("ssn", "078-05-1124");
        values.put("mail", "user4@example.com");
        values.put("code", 1004);
        values.put("big", 1000000000004L);
        values.put("pay", new BigDecimal("402.00"));
        values.put("born", born());
        values.put("seen", "2024-03-04 12:00:00");
        values.put("raw", new byte[] {4});
        values.put("ratio", 1.0);
        return values;
    }

    private static void expectRows(ResultSet rows, int from) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        List<String> names = new ArrayList<>();
        for (int i = 1; i <= meta.getColumnCount(); i++) {
            names.add(meta.getColumnLabel(i));
        }
        Client.expect(List.of(COLUMNS.split(", ")), names);
        int id = from;
        for (; rows.next(); id++) {
            Object[] got = {
                rows.getInt(1), rows.getString(2), rows.getString(3), rows.getString(4), rows.getObject(5), rows.getLong(6),
                rows.getBigDecimal(7), rows.getObject(8, LocalDate.class), rows.getObject(9), rows.getBytes(10), rows.getObject(11)};
            Client.expect(new Object[] {
                id, id == 5 ? null : "Name " + id, "[ssn]", "nobody@example.com", null, 7L, new BigDecimal("12.34"),
                LocalDate.of(1900, 1, 1), null, "[hidden]".getBytes(StandardCharsets.US_ASCII), null}, got);
        }
        Client.expect(9, id);
    }

    static void rows(Connection connection) throws Exception {
        for (int fetchSize : new int[] {0, 3}) {
            try (PreparedStatement get = connection.prepareStatement(SELECT)) {
                get.setFetchSize(fetchSize);
                for (int run = 0; run < 3; run++) {
                    get.setString(1, "all");
                    get.setInt(2, run % 2);
                    try (ResultSet rows = get.executeQuery()) {
                        expectRows(rows, 1 + run % 2);
                    }
                }
            }
        }
    }

    private static long count(PreparedStatement get, Object value) throws SQLException {
        get.setObject(1, value);
        try (ResultSet row = get.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    static void filters(Connection connection) throws Exception {
        String count = "SELECT count(*) FROM e2e_hidden WHERE client = 'all' AND ";
        for (Map.Entry<String, Object> entry : values().entrySet()) {
            try (PreparedStatement get = connection.prepareStatement(count + entry.getKey() + " = ?")) {
                for (int run = 0; run < 3; run++) {
                    Client.expect(entry.getKey() + " 0", entry.getKey() + " " + count(get, entry.getValue()));
                }
            }
        }
        try (PreparedStatement get = connection.prepareStatement(count + "ssn = ?")) {
            for (int run = 0; run < 4; run++) {
                Client.expect(run % 2 == 0 ? 8L : 0L, count(get, run % 2 == 0 ? "[ssn]" : "078-05-1124"));
            }
        }
    }

    static void writes(Connection connection) throws Exception {
        String me = Client.me();
        String mine = " WHERE client = '" + me + "'";
        Client.execute(connection, "DELETE FROM e2e_hidden" + mine);
        String insert = "INSERT INTO e2e_hidden (client, id, name, ssn, code, born) VALUES ('" + me + "', ?, 'mine', ?, ?, ?)";
        try (PreparedStatement put = connection.prepareStatement(insert)) {
            for (int i = 0; i < 13; i++) {
                put.setInt(1, i);
                put.setString(2, "078-05-9999");
                put.setInt(3, 5);
                put.setObject(4, i == 1 ? null : born());
                if (i < 3) {
                    Client.expect(1, put.executeUpdate());
                } else {
                    put.addBatch();
                }
            }
            Client.expect(10, put.executeBatch().length);
        }
        String kept = "SELECT count(*) FROM e2e_hidden" + mine + " AND name = 'mine' AND ssn = '[ssn]' AND code IS NULL";
        connection.setAutoCommit(false);
        Client.execute(connection, "UPDATE e2e_hidden SET name = 'new'" + mine);
        Client.expect(0L, Client.number(connection, kept));
        connection.rollback();
        connection.setAutoCommit(true);
        Client.expect(13L, Client.number(connection, kept));
        Map<String, Object> refused = Map.of(
            "UPDATE e2e_hidden SET name = 'x' WHERE ssn = ?", "078-05-1124",
            "DELETE FROM e2e_hidden WHERE client = 'x' AND code = ?", 1004,
            "UPDATE e2e_hidden SET ssn = ?" + mine, "x");
        for (Map.Entry<String, Object> entry : refused.entrySet()) {
            for (int run = 0; run < 2; run++) {
                Client.expectCode(1142, connection, c -> {
                    try (PreparedStatement statement = c.prepareStatement(entry.getKey())) {
                        statement.setObject(1, entry.getValue());
                        statement.executeUpdate();
                    }
                });
            }
        }
        Client.expect(13L, Client.number(connection, kept));
    }
}
