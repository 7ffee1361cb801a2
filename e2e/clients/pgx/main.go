// pgx v5 through the gateway.
//
// Behind the scenes: by default pgx prepares each text once per connection under a name made of its digest
// (`stmtcache_…`: Parse, Describe, Sync, then Bind, Execute, Sync) and asks for binary results where it can. Types are
// never looked up unless asked for (LoadType, not used here). Begin sends `begin`, Commit `commit`, Rollback
// `rollback`, a nested transaction `savepoint sp_1` / `release savepoint sp_1` / `rollback to savepoint sp_1`.
// Deallocate is a Close message. CopyFrom first prepares `select "a", "b" from
// "table"` to learn the column types and then sends `copy "table" ( "a", "b" ) from stdin binary;`. A cancelled
// context closes the connection after a CancelRequest over TLS.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const me = "pgx"

var prefix = func() string {
	if prefix := os.Getenv("E2E_PREFIX"); prefix != "" {
		return prefix
	}
	return "e2e_"
}()
var items, samples, bulk, copied = prefix + "items", prefix + "samples", prefix + "bulk", prefix + "copied"

func config() (*pgx.ConnConfig, error) {
	authorities, err := os.ReadFile(os.Getenv("PGSSLROOTCERT"))
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authorities)
	password := os.Getenv("PGPASSWORD")
	if file := os.Getenv("DOORWARD_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		password = strings.TrimSpace(string(token))
	}
	port, err := strconv.ParseUint(os.Getenv("PGPORT"), 10, 16)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = os.Getenv("PGHOST"), uint16(port)
	config.Database, config.User, config.Password = os.Getenv("PGDATABASE"), os.Getenv("PGUSER"), password
	config.TLSConfig = &tls.Config{RootCAs: trusted, ServerName: config.Host}
	config.Fallbacks = nil
	config.ConnectTimeout = 10 * time.Second
	return config, nil
}

func connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := config()
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

func expect(expected, actual any) error {
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Errorf("expected %.200v, got %.200v", expected, actual)
	}
	return nil
}

func expectState(state string, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return fmt.Errorf("expected SQLSTATE %s, got %w", state, err)
	}
	return expect(state, refused.Code)
}

func checkTLS(_ context.Context, conn *pgx.Conn) error {
	tunnel, ok := conn.PgConn().Conn().(*tls.Conn)
	return expect(true, ok && tunnel.ConnectionState().HandshakeComplete)
}

func checkSelect(ctx context.Context, conn *pgx.Conn) error {
	var number int
	var text string
	var yes bool
	if err := conn.QueryRow(ctx, "SELECT 1, 'héllo', true").Scan(&number, &text, &yes); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "SELECT 1 WHERE false").Scan(&number); !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("expected no rows, got %w", err)
	}
	return expect([]any{1, "héllo", true}, []any{number, text, yes})
}

func checkPrepared(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "DELETE FROM "+items+" WHERE client = $1", me); err != nil {
		return err
	}
	for i := range 100 {
		if _, err := conn.Exec(ctx, "INSERT INTO "+items+" VALUES ($1, $2, $3, $4)", me, i, fmt.Sprint("item ", i), i); err != nil {
			return err
		}
	}
	query := "SELECT name, qty FROM " + items + " WHERE client = $1 AND id = $2"
	if _, err := conn.Prepare(ctx, "by_hand", query); err != nil {
		return err
	}
	modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
		pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	for i := range 100 {
		for mode, text := range map[any]string{nil: "by_hand", modes[i%5]: query} {
			arguments := []any{me, i}
			if mode != nil {
				arguments = append([]any{mode}, arguments...)
			}
			var name string
			var quantity int
			if err := conn.QueryRow(ctx, text, arguments...).Scan(&name, &quantity); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			if err := expect([]any{fmt.Sprint("item ", i), i}, []any{name, quantity}); err != nil {
				return err
			}
		}
	}
	return conn.Deallocate(ctx, "by_hand")
}

func checkTransaction(ctx context.Context, conn *pgx.Conn) error {
	late := func() (n int) {
		_ = conn.QueryRow(ctx, "SELECT count(*) FROM "+items+" WHERE client = $1 AND id >= 1000", me).Scan(&n)
		return n
	}
	insert := func(id int, verdict error) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO "+items+" VALUES ($1, $2, 'x', 1)", me, id); err != nil {
				return err
			}
			if err := expect(1, late()); err != nil {
				return err
			}
			return verdict
		})
	}
	undo := errors.New("undo")
	if err := insert(1001, undo); !errors.Is(err, undo) {
		return err
	}
	if err := expect(0, late()); err != nil {
		return err
	}
	if err := insert(1002, nil); err != nil {
		return err
	}
	return expect(1, late())
}

func checkErrorRecovery(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for query, state := range map[string]string{"SELECT 1/0": "22012", "SELECT * FROM e2e_no_such_table": "42P01"} {
		err := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
			_, err := nested.Exec(ctx, query)
			return err
		})
		if err := expectState(state, err); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT 7"); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "SELECT 1/0")
	if err := expectState("22012", err); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "SELECT 1")
	if err := expectState("25P02", err); err != nil {
		return err
	}
	if err := tx.Rollback(ctx); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT 8")
	return err
}

func checkBatch(ctx context.Context, conn *pgx.Conn) error {
	batch := &pgx.Batch{}
	for i := range 500 {
		batch.Queue("SELECT $1::int", i)
	}
	results := conn.SendBatch(ctx, batch)
	for i := range 500 {
		var n int
		if err := results.QueryRow().Scan(&n); err != nil {
			return err
		}
		if err := expect(i, n); err != nil {
			return err
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	broken := &pgx.Batch{}
	broken.Queue("SELECT 1")
	broken.Queue("SELECT 1/$1::int", 0)
	broken.Queue("SELECT 2")
	if err := expectState("22012", conn.SendBatch(ctx, broken).Close()); err != nil {
		return err
	}
	// The raw pipeline: two Syncs under way at once, an error in the first does not touch the second.
	pipeline := conn.PgConn().StartPipeline(ctx)
	pipeline.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
	pipeline.SendQueryParams("SELECT 1", nil, nil, nil, nil)
	if err := pipeline.Sync(); err != nil {
		return err
	}
	pipeline.SendQueryParams("SELECT 3", nil, nil, nil, nil)
	if err := pipeline.Sync(); err != nil {
		return err
	}
	var seen []string
	for {
		result, err := pipeline.GetResults()
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			seen = append(seen, refused.Code)
			continue
		}
		if err != nil {
			return err
		}
		switch result := result.(type) {
		case *pgconn.ResultReader:
			read := result.Read()
			if errors.As(read.Err, &refused) {
				seen = append(seen, refused.Code)
			} else {
				seen = append(seen, string(read.Rows[0][0]))
			}
		case *pgconn.PipelineSync:
			seen = append(seen, "sync")
		case nil:
			if err := pipeline.Close(); err != nil {
				return err
			}
			return expect([]string{"22012", "sync", "3", "sync"}, seen)
		}
	}
}

func checkLargeResult(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT id, payload FROM "+bulk)
	if err != nil {
		return err
	}
	var id, count, sum int64
	var payload string
	_, err = pgx.ForEachRow(rows, []any{&id, &payload}, func() error {
		count, sum = count+1, sum+id
		return nil
	})
	if err != nil {
		return err
	}
	return expect([]int64{100000, 5000050000}, []int64{count, sum})
}

func checkCopyIn(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "DELETE FROM "+copied+" WHERE client = $1", me); err != nil {
		return err
	}
	source := pgx.CopyFromSlice(10000, func(i int) ([]any, error) {
		return []any{me, i, fmt.Sprintf("note %d \\ tab\t ü", i)}, nil
	})
	count, err := conn.CopyFrom(ctx, pgx.Identifier{copied}, []string{"client", "id", "note"}, source)
	if err != nil {
		return err
	}
	return expect(int64(10000), count)
}

func checkCopyOut(ctx context.Context, conn *pgx.Conn) error {
	var out bytes.Buffer
	query := "COPY (SELECT id, note FROM " + copied + " WHERE client = 'pgx' ORDER BY id) TO STDOUT (FORMAT csv)"
	tag, err := conn.PgConn().CopyTo(ctx, &out, query)
	if err != nil {
		return err
	}
	lines := strings.Split(out.String(), "\n")
	return expect([]any{"COPY 10000", 10001, "0,note 0 \\ tab\t ü"}, []any{tag.String(), len(lines), lines[0]})
}

type sample struct {
	T       string
	B       []byte
	Ints    []*int
	Texts   []*string
	N       string
	Ts      time.Time
	D       pgtype.Date
	U       [16]byte
	F       float64
	Yes     bool
	Nothing *string
	J       map[string]any
}

func checkTypes(ctx context.Context, conn *pgx.Conn) error {
	one, three, ab, quoted := 1, 3, "a b", `"q"`
	put := sample{"žluťoučký 🐘 你好", []byte{0, 0xff, 0x10}, []*int{&one, nil, &three}, []*string{&ab, nil, &quoted},
		"98765432.1234567891", time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC),
		pgtype.Date{Time: time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC), Valid: true},
		[16]byte{0x6f, 0x96, 0x19, 0xff, 0x8b, 0x86, 0xd0, 0x11, 0xb4, 0x2d, 0, 0xcf, 0x4f, 0xc9, 0x64, 0xff}, 0.1, true, nil,
		map[string]any{"k": []any{1.0, nil, "ü"}}}
	document, err := json.Marshal(put.J)
	if err != nil {
		return err
	}
	var n pgtype.Numeric
	if err := n.Scan(put.N); err != nil {
		return err
	}
	columns := "t, b, ints, texts, n, ts, d, u, f, yes, nothing, j"
	insert := "INSERT INTO " + samples + " (client, id, " + columns + ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)"
	for id, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		if _, err := conn.Exec(ctx, "DELETE FROM "+samples+" WHERE client = $1 AND id = $2", me, id); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, insert, mode, me, id, put.T, put.B, put.Ints, put.Texts, n, put.Ts, put.D,
			pgtype.UUID{Bytes: put.U, Valid: true}, put.F,
			put.Yes, put.Nothing, string(document))
		if err != nil {
			return fmt.Errorf("%v: %w", mode, err)
		}
		var got sample
		var number pgtype.Numeric
		var uuid pgtype.UUID
		query := "SELECT " + columns + " FROM " + samples + " WHERE client = $1 AND id = $2"
		err = conn.QueryRow(ctx, query, mode, me, id).Scan(&got.T, &got.B, &got.Ints, &got.Texts, &number, &got.Ts,
			&got.D, &uuid, &got.F, &got.Yes, &got.Nothing, &got.J)
		if err != nil {
			return fmt.Errorf("%v: %w", mode, err)
		}
		text, err := number.Value()
		if err != nil {
			return err
		}
		got.N, got.U, got.Ts = text.(string), uuid.Bytes, got.Ts.UTC()
		if err := expect(put, got); err != nil {
			return fmt.Errorf("%v: %w", mode, err)
		}
	}
	return nil
}

func checkCancel(ctx context.Context, conn *pgx.Conn) error {
	begun := time.Now()
	time.AfterFunc(500*time.Millisecond, func() { _ = conn.PgConn().CancelRequest(ctx) })
	_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
	if err := expectState("57014", err); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT 10"); err != nil {
		return err
	}
	// A context that ends, on a connection of its own because pgx closes it.
	other, err := connect(ctx)
	if err != nil {
		return err
	}
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	if _, err := other.Exec(short, "SELECT pg_sleep(30)"); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("expected a time-out, got %w", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		return fmt.Errorf("two cancellations took %v", took)
	}
	return nil
}

func checkNotify(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN e2e_pgx"); err != nil {
		return err
	}
	other, err := connect(ctx)
	if err != nil {
		return err
	}
	if _, err := other.Exec(ctx, "SELECT pg_notify('e2e_pgx', $1)", "hello, wörld"); err != nil {
		return err
	}
	if err := other.Close(ctx); err != nil {
		return err
	}
	limited, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	notification, err := conn.WaitForNotification(limited)
	if err != nil {
		return err
	}
	return expect([]string{"e2e_pgx", "hello, wörld"}, []string{notification.Channel, notification.Payload})
}

func main() {
	ctx := context.Background()
	conn, err := connect(ctx)
	if err != nil {
		fmt.Println("FAIL connect:", err)
		os.Exit(1)
	}
	checks := []struct {
		name string
		run  func(context.Context, *pgx.Conn) error
	}{{"tls", checkTLS}, {"select", checkSelect}, {"prepared", checkPrepared}, {"transaction", checkTransaction},
		{"error-recovery", checkErrorRecovery}, {"batch", checkBatch}, {"large-result", checkLargeResult},
		{"copy-in", checkCopyIn}, {"copy-out", checkCopyOut}, {"types", checkTypes}, {"hidden-rows", checkHiddenRows},
		{"hidden-filters", checkHiddenFilters}, {"hidden-batch", checkHiddenBatch}, {"hidden-copy", checkHiddenCopy},
		{"hidden-writes", checkHiddenWrites}, {"cancel", checkCancel}, {"notify", checkNotify}}
	if os.Getenv("E2E_HIDDEN") == "" {
		fmt.Println("skip hidden: nothing is hidden from this caller")
	}
	failed := false
	for _, check := range checks {
		if strings.HasPrefix(check.name, "hidden") && os.Getenv("E2E_HIDDEN") == "" {
			continue
		}
		if err := check.run(ctx, conn); err != nil {
			fmt.Printf("FAIL %s: %.400s\n", check.name, strings.ReplaceAll(err.Error(), "\n", " "))
			failed = true
			continue
		}
		fmt.Println("ok", check.name)
	}
	if failed {
		os.Exit(1)
	}
	_ = conn.Close(ctx)
}
