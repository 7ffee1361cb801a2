-- The account of a chat that a verdict came from: JSON, or none.
ALTER TABLE verdicts ADD COLUMN via TEXT;
