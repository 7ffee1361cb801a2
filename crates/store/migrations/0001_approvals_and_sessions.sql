CREATE TABLE approvals (
    id TEXT PRIMARY KEY NOT NULL,
    session TEXT NOT NULL,
    request INTEGER NOT NULL,
    principal TEXT NOT NULL,
    connection TEXT NOT NULL,
    statement TEXT NOT NULL,
    parameters TEXT NOT NULL,
    facts TEXT NOT NULL,
    digest TEXT NOT NULL,
    requirements TEXT NOT NULL,
    asked INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'withdrawn')),
    ended INTEGER,
    reason TEXT
) STRICT;
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE TABLE verdicts (
    approval TEXT NOT NULL REFERENCES approvals (id),
    by TEXT NOT NULL,
    groups TEXT NOT NULL,
    yes INTEGER NOT NULL,
    comment TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (approval, by)
) STRICT;
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    connection TEXT NOT NULL,
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    reason TEXT,
    bytes INTEGER
) STRICT;
