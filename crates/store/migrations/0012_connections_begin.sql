-- Since when a connection is the one that it is: one that was removed, and registered again under its name, is another.
ALTER TABLE connections ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
-- When those were registered that there are is not known: not before they were last written counts, so that nothing older is theirs.
UPDATE connections SET created = updated;
