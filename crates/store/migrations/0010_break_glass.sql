-- Whether somebody let it through alone, in an emergency.
ALTER TABLE verdicts ADD COLUMN break_glass INTEGER NOT NULL DEFAULT 0;
