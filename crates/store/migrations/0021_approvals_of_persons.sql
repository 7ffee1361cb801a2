-- For whom the caller acts: one person takes no room from the others that the same agent acts for. Empty: for nobody.
ALTER TABLE approvals ADD COLUMN person TEXT NOT NULL DEFAULT '';
UPDATE approvals SET person = COALESCE(json_extract(principal, '$.on_behalf_of.person.issuer') || '/'
    || json_extract(principal, '$.on_behalf_of.person.subject'), '');
DROP INDEX approvals_kept;
CREATE INDEX approvals_kept ON approvals (caller, person, state, ended, bytes) WHERE forgotten IS NULL;
