-- Whether the caller of an approval waits: such a one ends with the process.
ALTER TABLE approvals ADD COLUMN waits INTEGER NOT NULL DEFAULT 1;
