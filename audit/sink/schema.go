package sink

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// migrations bring the schema from each version to the next. They are never changed, only added to.
var migrations = [...]string{
	`CREATE TABLE sallyport.event (
	id          text COLLATE "C" NOT NULL,
	time        timestamptz NOT NULL,
	node        text NOT NULL,
	seq         bigint NOT NULL,
	kind        text NOT NULL,
	code        integer NOT NULL,
	dir         text,
	local       text,
	remote      text,
	sender      text,
	recipient   text,
	stanza_kind text,
	size        bigint,
	effect      text,
	rule        text,
	reason      text,
	outcome     text,
	link        text,
	who         text,
	line        json NOT NULL,
	PRIMARY KEY (id, time)
) PARTITION BY RANGE (time);
CREATE INDEX ON sallyport.event (sender text_pattern_ops, time);
CREATE INDEX ON sallyport.event (recipient text_pattern_ops, time);
CREATE INDEX ON sallyport.event (remote, time);
CREATE INDEX ON sallyport.event (node, seq);
CREATE INDEX ON sallyport.event (rule, time) WHERE effect IN ('deny', 'drop');
CREATE INDEX ON sallyport.event (kind, time) WHERE kind NOT IN ('stanza', 'delivery');
CREATE TABLE sallyport.cursor (
	node     text NOT NULL,
	sink     text NOT NULL,
	segment  integer NOT NULL,
	"offset" bigint NOT NULL,
	seq      bigint NOT NULL,
	id       text NOT NULL,
	updated  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (node, sink)
);
CREATE TABLE sallyport.checkpoint (
	id     text PRIMARY KEY,
	node   text NOT NULL,
	posted timestamptz NOT NULL,
	note   text NOT NULL
);
CREATE INDEX ON sallyport.checkpoint (node, posted);`,
}

// lockNumber keeps two gates from migrating at once. Any number will do that other programs in the same database do not use.
const lockNumber = 0x53616c6c79

// migrate makes the schema, or brings it up to this program's version. A newer one is refused: this program does not know it.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockNumber)); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass('sallyport.schema_version') IS NOT NULL`).Scan(&there); err != nil {
			return err
		}
		if !there {
			// A role that may not create schemas finds one that was made for it.
			if _, err := tx.Exec(ctx, `DO $$ BEGIN IF to_regnamespace('sallyport') IS NULL THEN CREATE SCHEMA sallyport; END IF; END $$;
				CREATE TABLE sallyport.schema_version (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())`); err != nil {
				return err
			}
		}
		var have int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM sallyport.schema_version`).Scan(&have); err != nil {
			return err
		}
		if have > len(migrations) {
			return fmt.Errorf("it is of version %d, this program knows %d", have, len(migrations))
		}
		for i := have; i < len(migrations); i++ {
			if _, err := tx.Exec(ctx, migrations[i]); err != nil {
				return fmt.Errorf("version %d: %w", i+1, err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO sallyport.schema_version (version) VALUES ($1)`, i+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("migrating the schema: %w", err)
	}
	return nil
}
