-- Connections that were registered through the API or a page; those of the configuration file are not here.
CREATE TABLE connections (
    name TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    spec TEXT NOT NULL,
    updated INTEGER NOT NULL,
    updated_by TEXT NOT NULL
) STRICT;
