-- The log of operations: in the order of time, and with indexes for what is asked of it.

CREATE TABLE log_new (
	id             INTEGER PRIMARY KEY, -- grows with time
	wid            TEXT    NOT NULL,
	user           TEXT    NOT NULL,
	hostname       TEXT    NOT NULL,
	step1          TEXT    NOT NULL DEFAULT '',
	step2          TEXT    NOT NULL DEFAULT '',
	step3          TEXT    NOT NULL DEFAULT '',
	timeout_step1  INTEGER NOT NULL DEFAULT 0, -- seconds, of the instance that was tried last; 0: none
	timeout_step2  INTEGER NOT NULL DEFAULT 0,
	timeout_step3  INTEGER NOT NULL DEFAULT 0,
	retry_step1    INTEGER NOT NULL DEFAULT 0,
	retry_step2    INTEGER NOT NULL DEFAULT 0,
	retry_step3    INTEGER NOT NULL DEFAULT 0,
	start          INTEGER NOT NULL,           -- seconds since 1970
	step1_duration REAL    NOT NULL DEFAULT 0, -- seconds
	step2_duration REAL    NOT NULL DEFAULT 0,
	step3_duration REAL    NOT NULL DEFAULT 0,
	env            TEXT    NOT NULL DEFAULT '', -- name:version
	env_user       TEXT    NOT NULL DEFAULT '',
	anonymous_env  INTEGER NOT NULL DEFAULT 0,
	md5            TEXT    NOT NULL DEFAULT '',
	success        INTEGER NOT NULL DEFAULT 0,
	error          TEXT    NOT NULL DEFAULT '',
	cluster        TEXT    NOT NULL DEFAULT '', -- of the node then
	operation      TEXT    NOT NULL CHECK (operation = substr(wid, 1, 1)), -- D, R, P
	retries        INTEGER NOT NULL CHECK (retries = max(retry_step1, retry_step2, retry_step3)),
	UNIQUE (wid, hostname)
) STRICT;

INSERT INTO log_new (wid, user, hostname, step1, step2, step3, timeout_step1, timeout_step2, timeout_step3,
	retry_step1, retry_step2, retry_step3, start, step1_duration, step2_duration, step3_duration,
	env, anonymous_env, md5, success, error, operation, retries)
SELECT wid, user, hostname, step1, step2, step3, timeout_step1, timeout_step2, timeout_step3,
	retry_step1, retry_step2, retry_step3, start, step1_duration, step2_duration, step3_duration,
	env, anonymous_env, md5, success, error, substr(wid, 1, 1), max(retry_step1, retry_step2, retry_step3)
FROM log ORDER BY start, wid, hostname;

DROP TABLE log;
ALTER TABLE log_new RENAME TO log;

CREATE INDEX log_by_start     ON log (start);
CREATE INDEX log_by_operation ON log (operation, start);
CREATE INDEX log_by_hostname  ON log (hostname, operation, start, success); -- all that failure rates need
CREATE INDEX log_by_retries   ON log (retries, start) WHERE retries > 0;
CREATE INDEX log_by_cluster   ON log (cluster, start);
CREATE INDEX log_by_env       ON log (env, start);

-- How long the nodes of one cluster were in one micro-step of one operation.
CREATE TABLE log_micro (
	wid           TEXT    NOT NULL,
	cluster       TEXT    NOT NULL,
	macro         TEXT    NOT NULL,
	instance      TEXT    NOT NULL,
	micro         TEXT    NOT NULL,
	position      INTEGER NOT NULL, -- order in which the operation came to it
	env           TEXT    NOT NULL DEFAULT '',
	env_user      TEXT    NOT NULL DEFAULT '',
	anonymous_env INTEGER NOT NULL DEFAULT 0,
	start         INTEGER NOT NULL, -- of the operation, seconds since 1970
	good          INTEGER NOT NULL, -- stays that went well
	failed        INTEGER NOT NULL, -- stays that did not
	seconds       TEXT    NOT NULL CHECK (json_valid(seconds)), -- list: of each stay that went well
	PRIMARY KEY (wid, cluster, instance, micro)
) STRICT, WITHOUT ROWID;

CREATE INDEX log_micro_by_env   ON log_micro (cluster, env, env_user, anonymous_env, instance, micro, start) WHERE good > 0;
CREATE INDEX log_micro_by_start ON log_micro (start);
