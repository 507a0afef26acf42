package sink_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// TestPostgres: a real server is stopped and killed between, the gate is started anew between; every event is there once, the page's
// queries work for an officer, who can change nothing.
func TestPostgres(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pg := receivers.Postgres(t)
	pg.Start()
	pg.SetUp("../../docs/audit-postgres.md")
	admin := fmt.Sprintf("postgres://admin@/sallyport?host=%s&port=%d", pg.Dir, pg.Port)

	g := openGate(t, sink.Config{Name: "archive", Type: sink.Postgres, URL: pg.URL, Secret: pg.Secret, Roots: pg.Roots, Required: true, Batch: 50})
	g.cross(120)
	g.arrive()
	pg.Stop(syscall.SIGINT)
	g.cross(60)
	g.until("the failure shows", func() bool { s := g.set.Status()[0]; return s.Error != "" && s.Records >= 60 && s.Seconds > 0 })
	g.stop()
	g.start()
	g.cross(10)
	pg.Start()
	g.arrive()
	pg.Stop(syscall.SIGKILL)
	pg.Start()
	g.cross(30)
	g.arrive()
	// A sink that lost its place sends all again.
	officer := connect(t, fmt.Sprintf("postgres://officer:%s@127.0.0.1:%d/sallyport?sslmode=verify-full&sslrootcert=%s", receivers.Password, pg.Port, pg.Roots))
	owner := connect(t, admin)
	g.stop()
	if _, err := owner.Exec(ctx, "DELETE FROM sallyport.cursor"); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.arrive()

	rows, err := officer.Query(ctx, "SELECT id FROM sallyport.event WHERE kind = 'stanza'")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != len(g.ids) {
		t.Errorf("%d rows for %d stanzas", len(ids), len(g.ids))
	}
	for _, id := range ids {
		if !g.ids[id] {
			t.Errorf("id %s is in the database and not in the record", id)
		}
	}
	if n := one(t, officer, "SELECT count(*) FROM sallyport.checkpoint WHERE note LIKE '%gate-1%'"); n == 0 {
		t.Error("no checkpoint was posted")
	}
	if n := one(t, officer, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sallyport.event'::regclass"); n < 3 {
		t.Errorf("%d partitions, want this month's and the two after it", n)
	}
	for _, query := range page(t, "```sql\n") {
		rows, err := officer.Query(ctx, query)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
		}
		if err != nil {
			t.Errorf("a query of the page: %v\n%s", err, query)
		}
	}
	if _, err := officer.Exec(ctx, "DELETE FROM sallyport.event"); err == nil {
		t.Error("an officer can delete rows")
	}
	g.stop()
	if segment, ok, err := sink.Lowest(g.dir); err != nil || !ok || segment < 2 {
		t.Errorf("Lowest: segment %d, %v, %v; want that of the newest events", segment, ok, err)
	}
	if strings.Contains(g.said.String(), "hush") {
		t.Errorf("the password is in the log:\n%s", g.said)
	}

	// A schema of a newer program is refused, and says so.
	if _, err := owner.Exec(ctx, "INSERT INTO sallyport.schema_version (version) VALUES (999)"); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.cross(1)
	g.until("the newer schema is refused", func() bool { return strings.Contains(g.set.Status()[0].Error, "version 999") })
}

// page gives the blocks of docs/audit-postgres.md that begin with a fence.
func page(t *testing.T, fence string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/audit-postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)(```[a-z]*\n)(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		if m[1] == fence {
			blocks = append(blocks, m[2])
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("the page has no block %q", fence)
	}
	return blocks
}

// connect waits for a server that is starting.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			t.Cleanup(func() { conn.Close(context.Background()) })
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond) // it starts; nothing tells us when
	}
}

func one(t *testing.T, conn *pgx.Conn, query string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
