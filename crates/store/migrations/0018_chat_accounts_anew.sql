-- Accounts became somebody's by a link that somebody else could have sent: each is to be linked anew, by a code.
DELETE FROM chat_accounts;
