-- Accounts that an administrator has locked or suspended, and can make free again. Times are milliseconds since the
-- epoch; NULL: it is not.

-- +goose Up
ALTER TABLE accounts ADD COLUMN locked_at bigint, ADD COLUMN suspended_at bigint;

-- Processes keep in memory whose tokens may do what. A change by a command of the operator, or by hand, makes all of
-- them read the tokens of the user anew. The message has the form of internal/journal/replica; "-" is the database itself.
-- +goose StatementBegin
CREATE FUNCTION tell_moderated_account() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('homeserver', '- tokens ' || NEW.user_id);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER accounts_moderated AFTER UPDATE OF locked_at, suspended_at ON accounts
    FOR EACH ROW WHEN (OLD.locked_at IS DISTINCT FROM NEW.locked_at OR OLD.suspended_at IS DISTINCT FROM NEW.suspended_at)
    EXECUTE FUNCTION tell_moderated_account();
