-- Everything that approvers are shown besides the statement. What an earlier version kept may have been cut.
ALTER TABLE approvals ADD COLUMN shown TEXT NOT NULL DEFAULT '{}';
UPDATE approvals SET shown = json_object(
    'parameters', json(parameters),
    'unseen', json_array('what an earlier version did not keep: it kept the beginning of values, and no bodies')
);
ALTER TABLE approvals DROP COLUMN parameters;
