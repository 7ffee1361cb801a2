-- Which account of a chat is whose: said by that person while signed in. It proves nothing by itself.
CREATE TABLE chat_accounts (
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (team, user)
) STRICT;
CREATE INDEX chat_accounts_of ON chat_accounts (issuer, subject);
