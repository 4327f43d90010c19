-- The device authorization grant of the OAuth 2.0 API. Owned by internal/auth/oauth. Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE oauth_device_codes (
    code_hash  bytea  PRIMARY KEY,
    -- What a person types on the page.
    user_code  text   NOT NULL UNIQUE,
    client_id  text   NOT NULL REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
    device_id  text   NOT NULL,
    scope      text   NOT NULL,
    expires_at bigint NOT NULL,
    polled_at  bigint NOT NULL DEFAULT 0,
    -- The user who has decided; NULL: nobody has yet.
    user_id    text   REFERENCES accounts (user_id) ON DELETE CASCADE,
    allowed    boolean NOT NULL DEFAULT false
);
CREATE INDEX oauth_device_codes_client ON oauth_device_codes (client_id);
CREATE INDEX oauth_device_codes_user ON oauth_device_codes (user_id);
CREATE INDEX oauth_device_codes_expiry ON oauth_device_codes (expires_at);
