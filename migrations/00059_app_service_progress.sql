-- How far application services have come. Owned by internal/appservice/transactions.

-- +goose Up
CREATE TABLE app_service_progress (
    service_id    text        PRIMARY KEY,
    leader        text        NOT NULL, -- of the process that sends, whose writes alone count
    position      bigint      NOT NULL, -- of the journal, up to which the service has acknowledged everything
    -- The transaction on its way, with the bytes that are sent each time, and up to which position it goes.
    txn_id        text,
    txn_up_to     bigint,
    txn_body      bytea,
    txn_events    integer     NOT NULL DEFAULT 0,
    -- So many attempts in a row have failed.
    attempts      integer     NOT NULL DEFAULT 0,
    failing_since timestamptz,
    due           timestamptz
);
-- It is deleted soon after it was written: compressing it would not pay.
ALTER TABLE app_service_progress ALTER COLUMN txn_body SET STORAGE EXTERNAL;

-- Processes keep in memory which rooms concern application services, which aliases can say. The message has the form
-- of internal/journal/replica; "-" is the database itself.
-- +goose StatementBegin
CREATE FUNCTION tell_room_alias() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('homeserver', '- room_alias ' || OLD.room_nid);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('homeserver', '- room_alias ' || NEW.room_nid);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER room_alias_changed AFTER INSERT OR UPDATE OR DELETE ON room_aliases
    FOR EACH ROW EXECUTE FUNCTION tell_room_alias();
