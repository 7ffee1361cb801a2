-- Whose tokens of before are no longer taken, because their provider said that their sessions are over.
CREATE TABLE provider_revocations (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The last moment that a token may have been issued at.
    until INTEGER NOT NULL,
    -- When the gateway heard of it.
    heard INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
