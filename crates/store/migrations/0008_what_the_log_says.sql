-- What the audit log says of sessions, principals and approvals, to be searched. The log is the truth: this is made anew
-- from it where it is missing. How far it is, is in `exports`.
CREATE TABLE seen_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    connection TEXT NOT NULL DEFAULT '',
    client TEXT NOT NULL DEFAULT '',
    principal TEXT,
    started INTEGER NOT NULL,
    ended INTEGER,
    reason TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    -- Rows in seen_accesses: there is a bound.
    accesses INTEGER NOT NULL DEFAULT 0,
    last_line INTEGER NOT NULL
) STRICT;
CREATE INDEX seen_sessions_of_connection ON seen_sessions (connection, id);
CREATE INDEX seen_sessions_until ON seen_sessions (last_line);
-- Each right that was asked for in a session, once for each outcome and command.
CREATE TABLE seen_accesses (
    session TEXT NOT NULL REFERENCES seen_sessions (id) ON DELETE CASCADE,
    outcome TEXT NOT NULL,
    command TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    PRIMARY KEY (session, outcome, command, action, resource)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen_principals (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    groups TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    last_line INTEGER NOT NULL
) STRICT;
-- The lines of the log that an approval is in.
CREATE TABLE seen_approvals (
    approval TEXT NOT NULL,
    line INTEGER NOT NULL,
    session TEXT NOT NULL,
    request INTEGER NOT NULL,
    PRIMARY KEY (approval, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_approvals_of_request ON seen_approvals (session, request);
