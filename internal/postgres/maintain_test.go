package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

// maintain opens a connection for long work.
func maintain(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestConnectHasNoLimitsOfTime(t *testing.T) {
	t.Parallel()
	conn := maintain(t, postgrestest.URL(t)+"&statement_timeout=5000")
	for setting, want := range map[string]string{
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
		"enable_seqscan": "on", "application_name": "homeserver", "TimeZone": "UTC",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v)", setting, got, err)
		}
	}
}

func TestConnectRefusesADatabaseThatIsUnfit(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'SQL_ASCII' LOCALE 'C'")
	if conn, err := postgres.Connect(t.Context(), address); err == nil || !strings.Contains(err.Error(), "SQL_ASCII") {
		t.Errorf("got %v, %v", conn, err)
	}
}

func TestSchemaGrowsInSteps(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'C'")
	conn := maintain(t, address)
	known, err := postgres.KnownSchema()
	if err != nil {
		t.Fatal(err)
	}
	at := func(want int64) {
		t.Helper()
		if got, err := postgres.Schema(t.Context(), conn); err != nil || got != want {
			t.Errorf("schema %d (%v), want %d", got, err, want)
		}
	}
	at(0)
	if from, to, err := postgres.MigrateTo(t.Context(), address, 3); err != nil || from != 0 || to != 3 {
		t.Errorf("MigrateTo = %d, %d, %v", from, to, err)
	}
	at(3)
	if from, to, err := postgres.MigrateTo(t.Context(), address, 2); err != nil || from != 3 || to != 3 {
		t.Errorf("to an older one: MigrateTo = %d, %d, %v", from, to, err)
	}
	if from, to, err := postgres.Migrate(t.Context(), address); err != nil || from != 3 || to != known {
		t.Errorf("Migrate = %d, %d, %v; want %d", from, to, err, known)
	}
	at(known)
}

func TestServerIsNotAloneOnItsDatabase(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	conn := maintain(t, address)
	connect(t, address) // somebody else's program
	if err := postgres.MustBeAlone(t.Context(), conn); err != nil {
		t.Error(err)
	}
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := postgres.MustBeAlone(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("beside a server: %v", err)
	}
	// The sessions end by themselves, a moment later.
	pool.Close()
	if err := postgres.MustBeAlone(t.Context(), conn); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestTablesAreDescribed(t *testing.T) {
	t.Parallel()
	conn := maintain(t, postgrestest.URL(t))
	_, err := conn.Exec(t.Context(), `
		CREATE TABLE a (one int PRIMARY KEY, "two Words" text, gone int, twice int GENERATED ALWAYS AS (one * 2) STORED, own int REFERENCES a);
		ALTER TABLE a DROP COLUMN gone;
		CREATE TABLE b (n int GENERATED ALWAYS AS IDENTITY, a int REFERENCES a, device text, user_id text,
			FOREIGN KEY (user_id, device) REFERENCES devices);
		CREATE VIEW c AS SELECT * FROM a`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := postgres.Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	find := func(name string) postgres.Table {
		t.Helper()
		i := slices.IndexFunc(tables, func(found postgres.Table) bool { return found.Name == name })
		if i < 0 {
			t.Fatalf("%s is missing", name)
		}
		return tables[i]
	}
	if got := find("a"); !slices.Equal(got.Columns, []string{"one", "two Words", "own"}) || len(got.References) > 0 {
		t.Errorf("got %+v", got)
	}
	if got := find("b"); !slices.Equal(got.References, []string{"a", "devices"}) {
		t.Errorf("got %+v", got)
	}
	for _, other := range tables {
		if other.Name == "c" || other.Name == postgres.SchemaTable {
			t.Errorf("%s is listed", other.Name)
		}
	}
	sequences, err := postgres.Sequences(t.Context(), conn)
	if err != nil || !slices.Contains(sequences, "room_nids") || !slices.Contains(sequences, "b_n_seq") {
		t.Errorf("got the sequences %v (%v)", sequences, err)
	}
}
