-- The OAuth 2.0 API. Owned by internal/auth/oauth, but for the column of devices, which internal/auth/session
-- owns, and interactive_approvals, which internal/auth/uia owns. Times are milliseconds since the epoch.

-- +goose Up

-- Apps that have registered themselves. The same metadata is the same client.
CREATE TABLE oauth_clients (
    client_id     text   PRIMARY KEY,
    metadata      text   NOT NULL,
    registered_at bigint NOT NULL,
    -- When it last registered or got a code.
    used_at       bigint NOT NULL
);
CREATE INDEX oauth_clients_used ON oauth_clients (used_at);

-- The client that a device is signed in by; NULL: it logged in by the legacy API. A client stays as long as it has
-- a device.
ALTER TABLE devices ADD COLUMN oauth_client text REFERENCES oauth_clients (client_id);
CREATE INDEX devices_oauth_client ON devices (oauth_client) WHERE oauth_client IS NOT NULL;

CREATE TABLE oauth_codes (
    code_hash    bytea   PRIMARY KEY,
    client_id    text    NOT NULL REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
    user_id      text    NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    device_id    text    NOT NULL,
    scope        text    NOT NULL,
    redirect_uri text    NOT NULL,
    challenge    text    NOT NULL,
    expires_at   bigint  NOT NULL,
    -- A code that comes a second time ends the session that it was exchanged for.
    used         boolean NOT NULL DEFAULT false
);
CREATE INDEX oauth_codes_client ON oauth_codes (client_id);
CREATE INDEX oauth_codes_user ON oauth_codes (user_id, expires_at);
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);

-- Browsers in which a user is signed in to the pages of this server.
CREATE TABLE oauth_browsers (
    session_hash bytea  PRIMARY KEY,
    user_id      text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    signed_in_at bigint NOT NULL
);
CREATE INDEX oauth_browsers_user ON oauth_browsers (user_id, signed_in_at);
CREATE INDEX oauth_browsers_age ON oauth_browsers (signed_in_at);

-- What users have approved on a page of this server, for one request of their sessions.
CREATE TABLE interactive_approvals (
    user_id    text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    operation  text   NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (user_id, operation)
);
