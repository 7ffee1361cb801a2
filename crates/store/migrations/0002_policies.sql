-- What nothing ever wrote; the audit log has it.
DROP TABLE sessions;
CREATE TABLE policy_versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    created INTEGER NOT NULL,
    parent INTEGER REFERENCES policy_versions (id)
) STRICT;
-- The newest of a mode counts; without a version nothing of that mode is in force.
CREATE TABLE policy_activations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER REFERENCES policy_versions (id),
    mode TEXT NOT NULL CHECK (mode IN ('enforce', 'monitor')),
    by TEXT NOT NULL,
    comment TEXT NOT NULL,
    time INTEGER NOT NULL
) STRICT;
