-- +goose Up

-- Processes keep access tokens in memory. Whoever deletes one, a command of the
-- operator too, makes all of them forget those of its user. The message has the
-- form of internal/broadcast; "-" is the database itself.
-- +goose StatementBegin
CREATE FUNCTION tell_revoked_tokens() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('homeserver', '- tokens ' || user_id) FROM (SELECT DISTINCT user_id FROM revoked) users;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER access_tokens_revoked AFTER DELETE ON access_tokens
    REFERENCING OLD TABLE AS revoked FOR EACH STATEMENT EXECUTE FUNCTION tell_revoked_tokens();
