-- +goose Up

-- Processes keep in memory what waits for devices. Whoever removes one, a command of the operator too, makes all of
-- them forget it: another device may come after it under the same ID. The message has the form of
-- internal/journal/replica; "-" is the database itself.
-- +goose StatementBegin
CREATE FUNCTION tell_removed_devices() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('homeserver', '- removed_device ' || json_build_array(user_id, device_id)) FROM removed;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER devices_removed AFTER DELETE ON devices
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tell_removed_devices();
