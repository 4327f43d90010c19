-- What has become of the tokens of a device that lives. Owned by internal/auth. Times
-- are milliseconds since the epoch.

-- +goose Up

-- When another token took this one's place; NULL: it is good. The newest of a device
-- stay, so that their owner is told to log in again on the same device.
ALTER TABLE access_tokens ADD COLUMN void_at bigint;

-- issued_at is how long what was given may wait to be used, revoked_at how long an
-- answer that was lost may be asked for again.
ALTER TABLE refresh_tokens ADD COLUMN issued_at bigint NOT NULL DEFAULT 0;
ALTER TABLE refresh_tokens ADD COLUMN revoked_at bigint NOT NULL DEFAULT 0;

-- Other processes must forget those that are void, too: see tell_revoked_tokens.
CREATE TRIGGER access_tokens_void AFTER UPDATE ON access_tokens
    REFERENCING OLD TABLE AS revoked FOR EACH STATEMENT EXECUTE FUNCTION tell_revoked_tokens();
