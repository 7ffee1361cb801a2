-- When the provider wants everything that comes of a sign-in to be over: a session of the command line that a browser
-- vouches for lasts no longer than that either.
ALTER TABLE web_sessions ADD COLUMN provider_ends INTEGER;
