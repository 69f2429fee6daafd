-- What a coordinator needs to go on with the workflows of the one before it.

-- When its files were there and its nodes about to be claimed; NULL before.
ALTER TABLE journal_workflows ADD COLUMN launched INTEGER;

-- The workflow that gave the node its state: only that one may take a state ending in "ing" back.
ALTER TABLE nodes ADD COLUMN workflow TEXT NOT NULL DEFAULT '';

-- The boot in which each node was when it was told to leave it: an agent of any
-- other boot has come up since.
CREATE TABLE boots (
	node  TEXT    NOT NULL PRIMARY KEY,
	task  TEXT    NOT NULL, -- that told it
	boot  TEXT    NOT NULL, -- empty: no agent was there
	since INTEGER NOT NULL  -- seconds since 1970
) STRICT, WITHOUT ROWID;
