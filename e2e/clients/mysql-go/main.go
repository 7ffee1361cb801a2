// go-sql-driver/mysql through the gateway.
//
// Behind the scenes: as it connects it sends `SELECT @@max_allowed_packet` where it is told to ask (maxAllowedPacket=0), and
// `SET name = value` for parameters that it does not know. A statement with parameters is prepared, executed and closed
// (COM_STMT_PREPARE, _EXECUTE, _CLOSE) unless interpolateParams is set; long values go by COM_STMT_SEND_LONG_DATA.
// Begin is `START TRANSACTION`, with an isolation level behind `SET TRANSACTION ISOLATION LEVEL …`; Ping is COM_PING. A
// pool resets nothing; a cancelled context closes the connection. The token needs allowCleartextPasswords=true.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const me = "go-sql-driver"
const people = "SELECT name, email, card, born, notes FROM e2e_people WHERE id = "

func pool(authority string, options string) (*sql.DB, error) {
	authorities, err := os.ReadFile(os.Getenv(authority))
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authorities)
	password := os.Getenv("E2E_MYSQL_PASSWORD")
	if file := os.Getenv("DOORWARD_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		password = strings.TrimSpace(string(token))
	}
	config, err := mysql.ParseDSN("/?allowCleartextPasswords=true&parseTime=true" + options)
	if err != nil {
		return nil, err
	}
	host := os.Getenv("E2E_MYSQL_HOST")
	config.Net, config.Addr = "tcp", host+":"+os.Getenv("E2E_MYSQL_PORT")
	config.User, config.Passwd, config.DBName = os.Getenv("E2E_MYSQL_USER"), password, os.Getenv("E2E_MYSQL_DATABASE")
	config.TLS = &tls.Config{RootCAs: trusted, ServerName: host}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func expect(expected, actual any) error {
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Errorf("expected %.200v, got %.200v", expected, actual)
	}
	return nil
}

func expectError(number uint16, err error) error {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		return fmt.Errorf("expected error %d, got %w", number, err)
	}
	return expect(number, refused.Number)
}

// querier is a pool, a connection or a transaction.
type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func number(ctx context.Context, q querier, query string, arguments ...any) (n int, err error) {
	return n, q.QueryRowContext(ctx, query, arguments...).Scan(&n)
}

func expectNumber(ctx context.Context, q querier, expected int, query string, arguments ...any) error {
	n, err := number(ctx, q, query, arguments...)
	if err != nil {
		return err
	}
	return expect(expected, n)
}

func exec(ctx context.Context, q querier, query string, arguments ...any) error {
	_, err := q.ExecContext(ctx, query, arguments...)
	return err
}

// A connection of one mode: prepared statements, or parameters put into the text, compressed.
type mode struct {
	db   *sql.DB
	conn *sql.Conn
}

func checkTLS(ctx context.Context, m mode) error {
	db, err := pool("E2E_MYSQL_OTHER_CA", "")
	if err != nil {
		return err
	}
	defer db.Close()
	var unknown x509.UnknownAuthorityError
	if err := db.PingContext(ctx); !errors.As(err, &unknown) {
		return fmt.Errorf("a certificate of an unknown authority: %v", err)
	}
	return m.conn.PingContext(ctx)
}

func checkSelect(ctx context.Context, m mode) error {
	var n int
	var text string
	var yes bool
	if err := m.conn.QueryRowContext(ctx, "SELECT 1, 'héllo', true").Scan(&n, &text, &yes); err != nil {
		return err
	}
	if err := expect([]any{1, "héllo", true}, []any{n, text, yes}); err != nil {
		return err
	}
	if _, err := number(ctx, m.conn, "SELECT 1 FROM DUAL WHERE false"); !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("expected no rows, got %w", err)
	}
	if err := m.conn.QueryRowContext(ctx, "SELECT ?, ?", 7, `a'b\c%`).Scan(&n, &text); err != nil {
		return err
	}
	return expect([]any{7, `a'b\c%`}, []any{n, text})
}

func checkParameters(ctx context.Context, m mode) error {
	if err := exec(ctx, m.conn, "DELETE FROM e2e_items WHERE client = ?", me); err != nil {
		return err
	}
	put, err := m.conn.PrepareContext(ctx, "INSERT INTO e2e_items VALUES (?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer put.Close()
	for i := range 100 {
		done, err := put.ExecContext(ctx, me, i, fmt.Sprint("item ", i), i)
		if err != nil {
			return err
		}
		if n, _ := done.RowsAffected(); n != 1 {
			return fmt.Errorf("%d rows", n)
		}
	}
	for i := range 100 {
		if err := expectNumber(ctx, m.conn, i, "SELECT qty FROM e2e_items WHERE client = ? AND id = ?", me, i); err != nil {
			return err
		}
	}
	done, err := m.conn.ExecContext(ctx, "INSERT INTO e2e_numbered (client, name) VALUES (?, 'x')", me)
	if err != nil {
		return err
	}
	id, err := done.LastInsertId()
	return errors.Join(err, expect(true, id > 0))
}

func checkTransaction(ctx context.Context, m mode) error {
	const late = "SELECT count(*) FROM e2e_items WHERE client = ? AND id > 1000"
	for id, keep := range map[int]bool{1001: false, 1002: true} {
		tx, err := m.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		before, err := number(ctx, tx, late, me)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, "INSERT INTO e2e_items VALUES (?, ?, 'x', 1)", me, id); err != nil {
			return err
		}
		if err := expectNumber(ctx, tx, before+1, late, me); err != nil {
			return err
		}
		if err := expectError(1142, exec(ctx, tx, "DROP TABLE e2e_people")); err != nil {
			return err
		}
		after := before
		if keep {
			after, err = before+1, tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err := errors.Join(err, expectNumber(ctx, m.conn, after, late, me)); err != nil {
			return err
		}
	}
	return nil
}

func checkErrors(ctx context.Context, m mode) error {
	for query, code := range map[string]uint16{
		"SELECT * FROM e2e_no_such_table WHERE id = ?":                     1146,
		"INSERT INTO e2e_items VALUES ('go-sql-driver', 1002, 'twice', ?)": 1062,
		"SELECT ? FROM FROM":                     1227,
		"DROP TABLE e2e_people":                  1142,
		"INSERT INTO e2e_people (id) VALUES (?)": 1142,
		"DELETE FROM e2e_items":                  1142,
		"SELECT * FROM mysql.user WHERE 1 = ?":   1142,
		"UPDATE e2e_items SET qty = (SELECT max(length(card)) FROM e2e_people)": 1142,
	} {
		arguments := make([]any, strings.Count(query, "?"))
		for i := range arguments {
			arguments[i] = 3
		}
		if err := expectError(code, exec(ctx, m.conn, query, arguments...)); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		if err := expectNumber(ctx, m.conn, 9, "SELECT ?", 9); err != nil {
			return err
		}
	}
	return nil
}

func checkMasked(ctx context.Context, m mode) error {
	for _, arguments := range [][]any{{}, {1}} {
		query := people + "1"
		if len(arguments) > 0 {
			query = people + "?"
		}
		var name, email, card, notes string
		var born sql.NullTime
		if err := m.conn.QueryRowContext(ctx, query, arguments...).Scan(&name, &email, &card, &born, &notes); err != nil {
			return err
		}
		expected := []any{"Name 1", "[email]", "************1111", false, "mail [email]"}
		if err := expect(expected, []any{name, email, card, born.Valid, notes}); err != nil {
			return err
		}
	}
	return nil
}

func checkTypes(ctx context.Context, m mode) error {
	const columns = "ti, tu, i, iu, b, bu, n, f, d, t, dt, ts, y, txt, bl, j, yes, nothing"
	when := time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC)
	day := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
	put := []any{int64(-128), uint64(255), int64(-1 << 31), uint64(1<<32 - 1), int64(-1 << 63), uint64(1<<64 - 1), "98765432.1234567891",
		0.1, day, "-12:34:56.789012", when, when, int64(2024), "žluťoučký 🐘 你好", []byte{0, 255, 16, 39, 92, 10},
		`{"k": [1, null, "ü"]}`, true, nil}
	if err := exec(ctx, m.conn, "DELETE FROM e2e_samples WHERE client = ?", me); err != nil {
		return err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(put)+2), ", ")
	insert := "INSERT INTO e2e_samples (client, id, " + columns + ") VALUES (" + marks + ")"
	if err := exec(ctx, m.conn, insert, append([]any{me, 1}, put...)...); err != nil {
		return err
	}
	for _, arguments := range [][]any{{}, {me}} {
		query := "SELECT " + columns + " FROM e2e_samples WHERE client = '" + me + "'"
		if len(arguments) > 0 {
			query = "SELECT " + columns + " FROM e2e_samples WHERE client = ?"
		}
		got := make([]reflect.Value, len(put))
		into := make([]any, len(put))
		for i, value := range put {
			if value == nil {
				value = sql.NullString{}
			}
			got[i] = reflect.New(reflect.TypeOf(value))
			into[i] = got[i].Interface()
		}
		if err := m.conn.QueryRowContext(ctx, query, arguments...).Scan(into...); err != nil {
			return err
		}
		for i, value := range put {
			if value == nil {
				value = sql.NullString{}
			}
			if err := expect(value, got[i].Elem().Interface()); err != nil {
				return fmt.Errorf("column %d: %w", i, err)
			}
		}
	}
	return nil
}

func checkBig(ctx context.Context, m mode) error {
	big := []byte(strings.Repeat("\xfe\xff", 17<<19))
	if err := exec(ctx, m.conn, "DELETE FROM e2e_big WHERE client = ?", me); err != nil {
		return err
	}
	if err := exec(ctx, m.conn, "INSERT INTO e2e_big VALUES (?, ?)", me, big); err != nil {
		return err
	}
	var got []byte
	if err := m.conn.QueryRowContext(ctx, "SELECT data FROM e2e_big WHERE client = ?", me).Scan(&got); err != nil {
		return err
	}
	if !reflect.DeepEqual(big, got) {
		return errors.New("it came back otherwise")
	}
	return exec(ctx, m.conn, "DELETE FROM e2e_big WHERE client = ?", me)
}

func checkLargeResult(ctx context.Context, m mode) error {
	rows, err := m.conn.QueryContext(ctx, "SELECT id, payload FROM e2e_bulk WHERE id > ?", 0)
	if err != nil {
		return err
	}
	defer rows.Close()
	count, sum := 0, 0
	for rows.Next() {
		var id int
		var payload string
		if err := rows.Scan(&id, &payload); err != nil {
			return err
		}
		count, sum = count+1, sum+id
	}
	return errors.Join(rows.Err(), expect([]int{20000, 200010000}, []int{count, sum}))
}

func checkLoadLocal(ctx context.Context, m mode) error {
	if err := exec(ctx, m.conn, "DELETE FROM e2e_loaded WHERE client = ?", me); err != nil {
		return err
	}
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "%s\t%d\tnote %d ü\n", me, i, i)
	}
	mysql.RegisterReaderHandler("lines", func() io.Reader { return strings.NewReader(lines.String()) })
	const load = "LOAD DATA LOCAL INFILE 'Reader::lines' INTO TABLE e2e_loaded CHARACTER SET utf8mb4"
	done, err := m.conn.ExecContext(ctx, load)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	return errors.Join(err, expect(int64(1000), n))
}

func checkCall(ctx context.Context, m mode) error {
	var a, b int
	rows, err := m.conn.QueryContext(ctx, "CALL e2e_pair(?)", 7)
	if err != nil {
		return err
	}
	defer rows.Close()
	rows.Next()
	err = rows.Scan(&a, &b)
	return errors.Join(err, expect([]int{7, 8}, []int{a, b}))
}

func checkMultiStatements(ctx context.Context, _ mode) error {
	db, err := pool("E2E_MYSQL_CA", "&multiStatements=true&interpolateParams=true")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT 1; SELECT 2 FROM DUAL WHERE false; SELECT ?", "three")
	if err != nil {
		return err
	}
	defer rows.Close()
	var results [][]string
	for more := true; more; more = rows.NextResultSet() {
		result := []string{}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			result = append(result, text)
		}
		results = append(results, result)
	}
	if err := errors.Join(rows.Err(), expect([][]string{{"1"}, {}, {"three"}}, results)); err != nil {
		return err
	}
	refused := exec(ctx, db, "INSERT INTO e2e_items VALUES (?, 1004, 'x', 1); DROP TABLE e2e_people", me)
	if err := expectError(1142, refused); err != nil {
		return err
	}
	return expectNumber(ctx, db, 0, "SELECT count(*) FROM e2e_items WHERE client = ? AND id = 1004", me)
}

func checkPool(ctx context.Context, m mode) error {
	answers := make(chan error, 30)
	for i := range 30 {
		go func() { answers <- expectNumber(ctx, m.db, i, "SELECT ?", i) }()
	}
	for range 30 {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

func checkCancel(ctx context.Context, m mode) error {
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := number(short, m.db, "SELECT count(*) FROM e2e_bulk a, e2e_bulk b, e2e_bulk c WHERE a.payload = b.payload")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 3*time.Second {
		return fmt.Errorf("not cancelled: %v", err)
	}
	return expectNumber(ctx, m.db, 10, "SELECT ?", 10)
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Second)
	defer cancel()
	checks := []struct {
		name string
		run  func(context.Context, mode) error
	}{
		{"tls", checkTLS}, {"select", checkSelect}, {"parameters", checkParameters}, {"transaction", checkTransaction},
		{"errors", checkErrors}, {"masked", checkMasked}, {"types", checkTypes}, {"big", checkBig},
		{"large-result", checkLargeResult}, {"load-local", checkLoadLocal}, {"call", checkCall},
		{"multi-statements", checkMultiStatements}, {"hidden-rows", checkHiddenRows}, {"hidden-filters", checkHiddenFilters},
		{"hidden-writes", checkHiddenWrites}, {"pool", checkPool}, {"cancel", checkCancel},
	}
	isHidden := os.Getenv("E2E_HIDDEN") != ""
	if !isHidden {
		fmt.Println("skip hidden: nothing is hidden from this caller")
	}
	failed := false
	for name, options := range map[string]string{"prepared": "&maxAllowedPacket=0", "text": "&interpolateParams=true&charset=utf8mb4&compress=true"} {
		db, err := pool("E2E_MYSQL_CA", options)
		if err != nil {
			return err
		}
		for _, check := range checks {
			if strings.HasPrefix(check.name, "hidden") && !isHidden {
				continue
			}
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			if err := check.run(ctx, mode{db, conn}); err != nil {
				failed = true
				fmt.Printf("FAIL %s-%s: %s\n", name, check.name, strings.ReplaceAll(err.Error(), "\n", " "))
			} else {
				fmt.Printf("ok %s-%s\n", name, check.name)
			}
			conn.Close()
		}
		db.Close()
	}
	if failed {
		return errors.New("some checks failed")
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
