-- +goose Up

-- Waits for the lock by which one process leads a follower of the journal, and reports
-- whether it is held now. The error of a lock that is not free is not one for the log.
-- +goose StatementBegin
CREATE FUNCTION wait_to_lead(follower text, milliseconds bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', milliseconds::text, true);
    PERFORM pg_advisory_lock(hashtextextended('follower ' || follower, 0));
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
-- +goose StatementEnd
