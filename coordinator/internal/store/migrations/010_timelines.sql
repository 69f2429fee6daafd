-- Where each node of an operation was when, and what is known of its failures.
CREATE TABLE timelines (
	wid   TEXT    PRIMARY KEY,
	ended INTEGER NOT NULL, -- seconds since 1970
	story BLOB    NOT NULL  -- workflow.Story as JSON, gzip
) STRICT;

CREATE INDEX timelines_by_end ON timelines (ended);
