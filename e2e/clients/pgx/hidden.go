package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Checks over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.

const hiddenColumns = "id, name, ssn, mail, code, big, pay, born, seen, who, raw, doc, ok"

var hidden = prefix + "hidden"
var hiddenTypes = []uint32{23, 25, 25, 1043, 23, 20, 1700, 1082, 1184, 2950, 17, 3802, 16}

func hiddenRow(id int32) []any {
	var name any
	if id != 5 {
		name = fmt.Sprint("Name ", id)
	}
	pay := pgtype.Numeric{Int: big.NewInt(1234), Exp: -2, Valid: true}
	born := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	return []any{id, name, "[ssn]", "nobody@example.com", nil, int64(7), pay, born, nil, nil, nil, "[masked]", nil}
}

// Values that are there.
func hiddenValues() map[string]any {
	return map[string]any{
		"ssn": "078-05-1124", "mail": "user4@example.com", "code": 1004, "big": int64(1000000000004),
		"pay":  pgtype.Numeric{Int: big.NewInt(40200), Exp: -2, Valid: true},
		"born": time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC),
		"seen": time.Date(2024, 3, 4, 12, 0, 0, 0, time.UTC),
		"who":  pgtype.UUID{Bytes: [16]byte{6: 0x40, 8: 0x80, 15: 4}, Valid: true},
		"raw":  []byte{4}, "ok": true,
	}
}

var allModes = []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
	pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

func expectHidden(rows pgx.Rows, from int32) error {
	defer rows.Close()
	for i, field := range rows.FieldDescriptions() {
		if err := expect([]any{strings.Split(hiddenColumns, ", ")[i], hiddenTypes[i]}, []any{field.Name, field.DataTypeOID}); err != nil {
			return err
		}
	}
	count := from
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		for i, expected := range hiddenRow(count) {
			if err := expect(expected, values[i]); err != nil {
				return fmt.Errorf("row %d, column %d: %w", count, i, err)
			}
		}
		count++
	}
	return errors.Join(rows.Err(), expect(int32(9), count))
}

func checkHiddenRows(ctx context.Context, conn *pgx.Conn) error {
	query := "SELECT " + hiddenColumns + " FROM " + hidden + " WHERE client = $1 AND id > $2 ORDER BY ssn, id"
	for range 2 {
		for _, mode := range allModes {
			rows, err := conn.Query(ctx, query, mode, "all", 0)
			if err != nil {
				return err
			}
			if err := expectHidden(rows, 1); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
		}
	}
	return nil
}

func checkHiddenFilters(ctx context.Context, conn *pgx.Conn) error {
	count := "SELECT count(*) FROM " + hidden + " WHERE client = 'all' AND "
	found := func(expected int, condition string, mode pgx.QueryExecMode, value any) error {
		var n int
		if err := conn.QueryRow(ctx, count+condition, mode, value).Scan(&n); err != nil {
			return fmt.Errorf("%s, %v: %w", condition, mode, err)
		}
		return expect(expected, n)
	}
	for _, mode := range allModes {
		for column, value := range hiddenValues() {
			// Without a description the driver sends numerics as texts of no type it is told, which is as good.
			if err := found(0, column+" = $1", mode, value); err != nil {
				return err
			}
		}
		for value, expected := range map[string]int{"[ssn]": 8, "078-05-1124": 0} {
			if err := found(expected, "ssn = $1", mode, value); err != nil {
				return err
			}
		}
		if err := found(0, "ssn = ANY($1)", mode, []string{"078-05-1121", "078-05-1124"}); err != nil {
			return err
		}
	}
	return nil
}

func checkHiddenBatch(ctx context.Context, conn *pgx.Conn) error {
	batch := &pgx.Batch{}
	for i := range 40 {
		batch.Queue("SELECT id, ssn FROM "+hidden+" WHERE client = 'all' AND id = $1 AND ssn LIKE $2", 1+i%8, []string{"0%", "[%"}[i%2])
	}
	results := conn.SendBatch(ctx, batch)
	for i := range 40 {
		var id int
		var ssn string
		err := results.QueryRow().Scan(&id, &ssn)
		if i%2 == 0 && errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err := errors.Join(err, expect([]any{1 + i%8, "[ssn]"}, []any{id, ssn})); err != nil {
			return err
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	// In portions, by a cursor of SQL's.
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DECLARE c CURSOR FOR SELECT "+hiddenColumns+" FROM "+hidden+" WHERE client = 'all' ORDER BY id"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "FETCH 3 FROM c"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "FETCH ALL FROM c")
		if err != nil {
			return err
		}
		return expectHidden(rows, 4)
	})
}

func checkHiddenCopy(ctx context.Context, conn *pgx.Conn) error {
	var out bytes.Buffer
	query := "COPY (SELECT id, ssn, code, big FROM " + hidden + " WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id) TO STDOUT (FORMAT csv)"
	tag, err := conn.PgConn().CopyTo(ctx, &out, query)
	if err != nil {
		return err
	}
	lines := strings.Split(out.String(), "\n")
	if err := expect([]any{"COPY 8", 9, `1,"[ssn]",,"7"`}, []any{tag.String(), len(lines), lines[0]}); err != nil {
		return err
	}
	out.Reset()
	if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY "+hidden+" (ssn, born) TO STDOUT (FORMAT binary)"); err != nil {
		return err
	}
	seen := []bool{bytes.Contains(out.Bytes(), []byte("[ssn]")), bytes.Contains(out.Bytes(), []byte("078-05"))}
	return expect([]bool{true, false}, seen)
}

func checkHiddenWrites(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "DELETE FROM "+hidden+" WHERE client = $1", me); err != nil {
		return err
	}
	put := "INSERT INTO " + hidden + " (client, id, name, ssn, code) VALUES ($1, $2, 'mine', $3, $4) RETURNING id, ssn, code"
	for i, mode := range allModes {
		var id int
		var ssn string
		var code *int
		if err := conn.QueryRow(ctx, put, mode, me, i, "078-05-9999", 5).Scan(&id, &ssn, &code); err != nil {
			return fmt.Errorf("%v: %w", mode, err)
		}
		if err := expect([]any{i, "[ssn]", (*int)(nil)}, []any{id, ssn, code}); err != nil {
			return err
		}
	}
	// CopyFrom asks for the columns' types by a SELECT, which is rewritten.
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{hidden}, []string{"client", "id", "ssn", "code", "born"},
		pgx.CopyFromRows([][]any{{me, 100, "078-05-9998", 6, time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC)}, {me, 101, nil, nil, nil}}))
	if err != nil {
		return err
	}
	if err := expect(int64(2), copied); err != nil {
		return err
	}
	undo := errors.New("undo")
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var name, ssn string
		update := "UPDATE " + hidden + " SET ssn = $1, name = 'new' WHERE client = $2 AND id = 1 RETURNING name, ssn"
		if err := tx.QueryRow(ctx, update, "1", me).Scan(&name, &ssn); err != nil {
			return err
		}
		return errors.Join(undo, expect([]string{"new", "[ssn]"}, []string{name, ssn}))
	})
	if err.Error() != undo.Error() {
		return err
	}
	for _, mode := range allModes {
		for text, values := range map[string][]any{
			"UPDATE " + hidden + " SET name = 'x' WHERE ssn = $1":              {"078-05-1124"},
			"DELETE FROM " + hidden + " WHERE client = 'x' AND code = $1":      {1004},
			"UPDATE " + hidden + " SET ssn = $1 WHERE client = $2 AND id < $3": {"[ssn]", me, 50},
		} {
			_, err := conn.Exec(ctx, text, append([]any{mode}, values...)...)
			if err := expectState("42501", err); err != nil {
				return fmt.Errorf("%s, %v: %w", text, mode, err)
			}
		}
	}
	var n int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM "+hidden+" WHERE client = $1 AND name = 'mine'", me).Scan(&n)
	return errors.Join(err, expect(len(allModes), n))
}
