-- Of every secret there is a hash here, and nothing to log in with.
CREATE TABLE web_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    secret BLOB NOT NULL UNIQUE,
    purpose TEXT NOT NULL CHECK (purpose IN ('browser', 'cli')),
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal TEXT NOT NULL,
    auth TEXT NOT NULL,
    provider_session TEXT,
    created INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX web_sessions_of ON web_sessions (issuer, subject);
CREATE INDEX web_sessions_until ON web_sessions (expires);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    secret BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal TEXT NOT NULL,
    scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    last_used INTEGER,
    revoked INTEGER
) STRICT;
CREATE INDEX api_keys_of ON api_keys (issuer, subject);
CREATE TABLE bootstrap (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    secret BLOB NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER
) STRICT;
