package sink

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/audit"
)

// database is a connection to PostgreSQL.
type database struct {
	conn   *pgx.Conn
	cfg    Config
	node   string
	months map[string]bool // partitions that are there
	month  time.Time       // of the event before, whose partition is there
}

// dialPostgres connects, migrates the schema, and says from which place on the database lacks events.
func dialPostgres(ctx context.Context, cfg Config, node string) (_ receiver, from audit.Place, err error) {
	config, err := postgresConfig(cfg)
	if err != nil {
		return nil, from, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, from, err
	}
	d := &database{conn: conn, cfg: cfg, node: node, months: make(map[string]bool)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := migrate(ctx, conn); err != nil {
		return nil, from, err
	}
	if err := d.ahead(ctx, time.Now()); err != nil {
		return nil, from, err
	}
	if _, err := conn.Exec(ctx, `CREATE TEMP TABLE arriving (LIKE sallyport.event) ON COMMIT DELETE ROWS`); err != nil {
		return nil, from, fmt.Errorf("making the staging table: %w", err)
	}
	var id string
	err = conn.QueryRow(ctx, `SELECT segment, "offset", seq, id FROM sallyport.cursor WHERE node = $1 AND sink = $2`, node, cfg.Name).
		Scan(&from.Segment, &from.Offset, &from.Seq, &id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, audit.Place{}, nil
	case err != nil:
		return nil, from, fmt.Errorf("reading the cursor: %w", err)
	}
	if err := from.ID.UnmarshalText([]byte(id)); err != nil {
		return nil, from, fmt.Errorf("reading the cursor: %w", err)
	}
	return d, from, nil
}

// postgresConfig is the URL with what the other keys say. A URL that does not speak of TLS means verify-full, unless it leads to a socket.
func postgresConfig(cfg Config) (*pgx.ConnConfig, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("url: not a URL")
	}
	q := u.Query()
	set := func(key, value string) {
		if value != "" && !q.Has(key) {
			q.Set(key, value)
		}
	}
	if slices.ContainsFunc(postgresHosts(u), func(host string) bool { return host != "" && !strings.HasPrefix(host, "/") }) {
		set("sslmode", "verify-full")
		set("sslrootcert", cfg.Roots)
		set("sslcert", cfg.Cert)
		set("sslkey", cfg.Key)
	}
	set("application_name", "sallyport")
	u.RawQuery = q.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	secret, err := cfg.secret()
	if secret != "" {
		config.Password = secret
	}
	return config, err
}

func (d *database) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	d.conn.Close(ctx)
}

// ahead makes the partitions of a moment's month and of the two after it.
func (d *database) ahead(ctx context.Context, t time.Time) error {
	first := time.Date(t.UTC().Year(), t.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	if first.Equal(d.month) {
		return nil
	}
	d.month = time.Time{}
	of := first
	for range 3 {
		next := first.AddDate(0, 1, 0)
		if name := first.Format("event_2006_01"); !d.months[name] {
			// Neither name nor bounds come from outside: both are a month in digits.
			order := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS sallyport.%s PARTITION OF sallyport.event FOR VALUES FROM ('%s') TO ('%s')`,
				name, first.Format(time.RFC3339), next.Format(time.RFC3339))
			if _, err := d.conn.Exec(ctx, order); err != nil {
				return fmt.Errorf("making partition %s: %w", name, err)
			}
			d.months[name] = true
		}
		first = next
	}
	d.month = of
	return nil
}

// send stores events and the cursor behind them in one transaction. What is there already stays as it is.
func (d *database) send(ctx context.Context, events []event, at audit.Place) (done audit.Place, err error) {
	for i := range events {
		if err := d.ahead(ctx, events[i].Time); err != nil {
			return done, err
		}
	}
	err = pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		rows := pgx.CopyFromSlice(len(events), func(i int) ([]any, error) { return row(&events[i]), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"arriving"}, columns[:], rows); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sallyport.event SELECT * FROM arriving ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO sallyport.cursor AS c (node, sink, segment, "offset", seq, id) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (node, sink) DO UPDATE SET segment = $3, "offset" = $4, seq = $5, id = $6, updated = now()`,
			d.node, d.cfg.Name, at.Segment, at.Offset, int64(at.Seq), at.ID.String())
		return err
	})
	return at, err
}

// post stores a checkpoint.
func (d *database) post(ctx context.Context, c checkpoint) error {
	_, err := d.conn.Exec(ctx, `INSERT INTO sallyport.checkpoint (id, node, posted, note) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, c.id, c.node, c.time, c.text)
	return err
}

// columns of the table event, in its order.
var columns = [...]string{"id", "time", "node", "seq", "kind", "code", "dir", "local", "remote", "sender", "recipient", "stanza_kind", "size",
	"effect", "rule", "reason", "outcome", "link", "who", "line"}

func row(e *event) []any {
	return []any{e.ID.String(), e.Time, plain(e.Node), int64(e.Seq), plain(e.Kind), int32(e.Code), plain(e.Dir), plain(e.Local), plain(e.Remote),
		plain(e.From), plain(e.To), plain(e.Stanza.Kind), int64(e.Stanza.Size), plain(e.Decision.Effect), plain(e.Decision.Rule),
		plain(e.Decision.Reason), plain(e.Outcome), plain(e.Link.ID), plain(e.Who), string(e.line)}
}

// plain is a value as a column takes it: NULL for nothing, and without the NUL that PostgreSQL's text cannot hold. The line has it all.
func plain(s string) *string {
	if s == "" {
		return nil
	}
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	return &s
}
