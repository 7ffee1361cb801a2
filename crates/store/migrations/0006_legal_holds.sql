CREATE TABLE legal_holds (
    session TEXT PRIMARY KEY NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    time INTEGER NOT NULL
) STRICT;
