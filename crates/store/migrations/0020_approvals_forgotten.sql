-- Whose an approval is, what its texts take, and when they were removed: so that there is a bound for each caller, and an end.
ALTER TABLE approvals ADD COLUMN caller TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN forgotten INTEGER;
UPDATE approvals SET
    caller = json_extract(principal, '$.issuer') || '/' || json_extract(principal, '$.subject'),
    bytes = length(CAST(statement AS BLOB)) + length(CAST(shown AS BLOB)) + length(CAST(facts AS BLOB));
CREATE INDEX approvals_kept ON approvals (caller, state, ended, bytes) WHERE forgotten IS NULL;
