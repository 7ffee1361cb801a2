-- Secrets under envelope encryption: what is here is of no use without the key that wraps the keys.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    wrapped_by TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    sealed BLOB NOT NULL,
    updated INTEGER NOT NULL,
    updated_by TEXT NOT NULL
) STRICT;
