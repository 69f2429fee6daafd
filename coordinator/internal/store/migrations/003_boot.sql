-- What each node boots, and how its agent proves who it is (proto/agent/session/SPEC.md).

CREATE TABLE boot_profiles (
	node     TEXT PRIMARY KEY,
	workflow TEXT NOT NULL,          -- that asked for it
	profile  TEXT NOT NULL,          -- JSON
	since    INTEGER NOT NULL        -- Unix seconds
) STRICT;

-- One row a node: the token minted last, and the key that it was spent on.
-- Tokens are kept as SHA-256 so that a copy of the database opens no session.
CREATE TABLE agent_proofs (
	node   TEXT PRIMARY KEY,
	token  TEXT NOT NULL,            -- SHA-256, hexadecimal; empty once spent
	key    TEXT NOT NULL,            -- SHA-256 of the agent's public key; empty until the token is spent
	minted INTEGER NOT NULL          -- Unix seconds
) STRICT;
