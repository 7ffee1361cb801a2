package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Checks over a table of which most columns show nothing to this caller (E2E_HIDDEN): each statement is rewritten on its way.

const hiddenColumns = "id, name, ssn, mail, code, big, pay, born, seen, raw, ratio"

// Values that are there.
var hiddenValues = map[string]any{
	"ssn": "078-05-1124", "mail": "user4@example.com", "code": 1004, "big": int64(1000000000004), "pay": "402.00",
	"born": time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC), "seen": time.Date(2024, 3, 4, 12, 0, 0, 0, time.UTC), "raw": []byte{4}, "ratio": 1.0,
}

func checkHiddenRows(ctx context.Context, m mode) error {
	query := "SELECT " + hiddenColumns + " FROM e2e_hidden WHERE client = ? AND id > ? ORDER BY ssn, id"
	statement, err := m.conn.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for run := range 4 {
		ask := statement.QueryContext
		if run < 2 {
			ask = func(ctx context.Context, arguments ...any) (*sql.Rows, error) {
				return m.conn.QueryContext(ctx, query, arguments...)
			}
		}
		rows, err := ask(ctx, "all", 0)
		if err != nil {
			return err
		}
		if err := expectHidden(rows); err != nil {
			return fmt.Errorf("run %d: %w", run, err)
		}
	}
	return nil
}

func expectHidden(rows *sql.Rows) error {
	defer rows.Close()
	names, err := rows.Columns()
	if err := errors.Join(err, expect(strings.Split(hiddenColumns, ", "), names)); err != nil {
		return err
	}
	born, count := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), 0
	for rows.Next() {
		count++
		var id int
		var name sql.NullString
		var ssn, mail, pay string
		var raw []byte
		var code, big sql.NullInt64
		var day, seen sql.NullTime
		var ratio sql.NullFloat64
		if err := rows.Scan(&id, &name, &ssn, &mail, &code, &big, &pay, &day, &seen, &raw, &ratio); err != nil {
			return err
		}
		named := sql.NullString{String: fmt.Sprint("Name ", id), Valid: true}
		if id == 5 {
			named = sql.NullString{}
		}
		expected := []any{count, named, "[ssn]", "nobody@example.com", false, int64(7), "12.34", born, false, "[hidden]", false}
		got := []any{id, name, ssn, mail, code.Valid, big.Int64, pay, day.Time, seen.Valid, string(raw), ratio.Valid}
		if err := expect(expected, got); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), expect(8, count))
}

func checkHiddenFilters(ctx context.Context, m mode) error {
	count := "SELECT count(*) FROM e2e_hidden WHERE client = 'all' AND "
	for column, value := range hiddenValues {
		if err := expectNumber(ctx, m.conn, 0, count+column+" = ?", value); err != nil {
			return fmt.Errorf("%s: %w", column, err)
		}
	}
	statement, err := m.conn.PrepareContext(ctx, count+"ssn = ?")
	if err != nil {
		return err
	}
	defer statement.Close()
	for run := range 4 {
		var n int
		err := statement.QueryRowContext(ctx, []string{"[ssn]", "078-05-1124"}[run%2]).Scan(&n)
		if err := errors.Join(err, expect([]int{8, 0}[run%2], n)); err != nil {
			return err
		}
	}
	return expectNumber(ctx, m.conn, 0, count+"ssn IN (?, ?)", "078-05-1121", "078-05-1124")
}

func checkHiddenWrites(ctx context.Context, m mode) error {
	if err := exec(ctx, m.conn, "DELETE FROM e2e_hidden WHERE client = ?", me); err != nil {
		return err
	}
	for i := range 3 {
		put := "INSERT INTO e2e_hidden (client, id, name, ssn, code, born) VALUES (?, ?, 'mine', ?, ?, ?)"
		if err := exec(ctx, m.conn, put, me, i, "078-05-9999", 5, hiddenValues["born"]); err != nil {
			return err
		}
	}
	mine := "SELECT count(*) FROM e2e_hidden WHERE client = ? AND ssn = '[ssn]' AND code IS NULL AND name = 'mine'"
	tx, err := m.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = errors.Join(exec(ctx, tx, "UPDATE e2e_hidden SET name = 'new' WHERE client = ?", me), expectNumber(ctx, tx, 0, mine, me), tx.Rollback())
	if err != nil {
		return err
	}
	for query, arguments := range map[string][]any{
		"UPDATE e2e_hidden SET name = 'x' WHERE ssn = ?":         {"078-05-1124"},
		"DELETE FROM e2e_hidden WHERE client = 'x' AND code = ?": {1004},
		"UPDATE e2e_hidden SET ssn = ? WHERE client = ?":         {"x", me},
	} {
		if err := expectError(1142, exec(ctx, m.conn, query, arguments...)); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return expectNumber(ctx, m.conn, 3, mine, me)
}
