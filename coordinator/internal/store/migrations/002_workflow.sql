-- The journal of workflows: what is needed to know, after the coordinator died,
-- where each of them was. Times are nanoseconds since 1970.

CREATE TABLE journal_workflows (
	id      TEXT    NOT NULL PRIMARY KEY,
	request TEXT    NOT NULL CHECK (json_valid(request)),
	begun   INTEGER NOT NULL,
	ended   INTEGER -- NULL while it runs
) STRICT, WITHOUT ROWID;

CREATE INDEX journal_unfinished ON journal_workflows (begun) WHERE ended IS NULL;
CREATE INDEX journal_ended      ON journal_workflows (ended) WHERE ended IS NOT NULL;

-- One row per transition of one cluster's automaton; seq has no gaps.
CREATE TABLE journal_records (
	workflow TEXT    NOT NULL REFERENCES journal_workflows (id) ON DELETE CASCADE,
	cluster  INTEGER NOT NULL,
	seq      INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	events   TEXT    NOT NULL CHECK (json_valid(events)),
	PRIMARY KEY (workflow, cluster, seq)
) STRICT, WITHOUT ROWID;
