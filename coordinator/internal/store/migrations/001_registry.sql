-- Environments, rights, states of nodes, and the log of operations.
-- Times are seconds since 1970.

CREATE TABLE environments (
	id                INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: nodes remember it
	user              TEXT    NOT NULL,
	name              TEXT    NOT NULL CHECK (name <> ''),
	version           INTEGER NOT NULL,
	arch              TEXT    NOT NULL DEFAULT '',
	alias             TEXT    NOT NULL DEFAULT '',
	description       TEXT    NOT NULL DEFAULT '',
	author            TEXT    NOT NULL DEFAULT '',
	visibility        TEXT    NOT NULL CHECK (visibility IN ('public', 'private', 'shared')),
	destructive       INTEGER NOT NULL DEFAULT 0,
	os                TEXT    NOT NULL,
	image_file        TEXT    NOT NULL,
	image_kind        TEXT    NOT NULL,
	image_compression TEXT    NOT NULL,
	image_checksum    TEXT    NOT NULL DEFAULT '',
	boot              TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(boot)),
	filesystem        TEXT    NOT NULL DEFAULT '',
	partition_type    INTEGER NOT NULL DEFAULT 0,
	multipart         INTEGER NOT NULL DEFAULT 0,
	options           TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(options)),
	custom_variables  TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(custom_variables)),
	created           INTEGER NOT NULL,
	UNIQUE (user, name, version, arch)
) STRICT;

CREATE INDEX environments_by_name  ON environments (name);
CREATE INDEX environments_by_alias ON environments (alias) WHERE alias <> '';

-- Preinstalls and postinstalls, in the order in which they run.
CREATE TABLE archives (
	environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	stage       TEXT    NOT NULL CHECK (stage IN ('preinstall', 'postinstall')),
	position    INTEGER NOT NULL,
	archive     TEXT    NOT NULL,
	compression TEXT    NOT NULL,
	script      TEXT    NOT NULL DEFAULT '',
	checksum    TEXT    NOT NULL DEFAULT '',
	PRIMARY KEY (environment, stage, position)
) STRICT, WITHOUT ROWID;

-- The last known state of each node that was ever operated on.
CREATE TABLE nodes (
	name        TEXT    NOT NULL PRIMARY KEY,
	state       TEXT    NOT NULL,
	environment INTEGER NOT NULL DEFAULT -1, -- environments.id, perhaps deleted since; -1: none or anonymous
	user        TEXT    NOT NULL DEFAULT '',
	date        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- "*" as node or part stands for all of them.
CREATE TABLE rights (
	user TEXT NOT NULL,
	node TEXT NOT NULL,
	part TEXT NOT NULL,
	PRIMARY KEY (user, node, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX rights_by_node ON rights (node);

-- One row per node and operation; the first letter of wid tells which: D-, R-, P-.
CREATE TABLE log (
	wid            TEXT    NOT NULL,
	user           TEXT    NOT NULL,
	hostname       TEXT    NOT NULL,
	step1          TEXT    NOT NULL DEFAULT '',
	step2          TEXT    NOT NULL DEFAULT '',
	step3          TEXT    NOT NULL DEFAULT '',
	timeout_step1  INTEGER NOT NULL DEFAULT 0,
	timeout_step2  INTEGER NOT NULL DEFAULT 0,
	timeout_step3  INTEGER NOT NULL DEFAULT 0,
	retry_step1    INTEGER NOT NULL DEFAULT 0,
	retry_step2    INTEGER NOT NULL DEFAULT 0,
	retry_step3    INTEGER NOT NULL DEFAULT 0,
	start          INTEGER NOT NULL,
	step1_duration REAL    NOT NULL DEFAULT 0,
	step2_duration REAL    NOT NULL DEFAULT 0,
	step3_duration REAL    NOT NULL DEFAULT 0,
	env            TEXT    NOT NULL DEFAULT '',
	anonymous_env  INTEGER NOT NULL DEFAULT 0,
	md5            TEXT    NOT NULL DEFAULT '',
	success        INTEGER NOT NULL DEFAULT 0,
	error          TEXT    NOT NULL DEFAULT '',
	PRIMARY KEY (wid, hostname)
) STRICT, WITHOUT ROWID;

CREATE INDEX log_by_start    ON log (start);
CREATE INDEX log_by_hostname ON log (hostname, start);
