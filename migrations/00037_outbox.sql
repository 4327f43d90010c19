-- What services have committed in transactions of their own, and what the journal takes
-- over into the log. Owned by internal/journal.

-- +goose Up
CREATE TABLE outbox (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text        NOT NULL,
    -- The topics: who is concerned.
    rooms    bigint[]    NOT NULL,
    users    text[]      NOT NULL,
    payload  bytea       NOT NULL,
    -- Where it stands in the log, until what follows from it is done. Empty: it is not
    -- taken over yet.
    position bigint      UNIQUE,
    -- Not to be tried before then, and how often it has failed.
    due      timestamptz NOT NULL DEFAULT clock_timestamp(),
    failed   integer     NOT NULL DEFAULT 0
);

-- A message in the form of internal/journal/replica; "-" is the database itself.
-- +goose StatementBegin
CREATE FUNCTION tell_outbox() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('homeserver', '- outbox ');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER outbox_filled AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION tell_outbox();
