-- Single sign-on and directories. Owned by internal/auth/sso. Times are milliseconds since the epoch.

-- +goose Up

-- Which accounts belong to whom elsewhere: to a subject of an OpenID provider, or to an entry of a directory.
CREATE TABLE sso_identities (
    provider   text   NOT NULL,
    subject    text   NOT NULL,
    user_id    text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    PRIMARY KEY (provider, subject)
);
CREATE INDEX sso_identities_user ON sso_identities (user_id);

-- By which session at a provider a login token was made; such a session is ended by the provider. '': unknown.
CREATE TABLE sso_login_tokens (
    token_hash       bytea PRIMARY KEY REFERENCES login_tokens (token_hash) ON DELETE CASCADE,
    provider         text  NOT NULL,
    subject          text  NOT NULL,
    provider_session text  NOT NULL
);
CREATE INDEX sso_login_tokens_provider ON sso_login_tokens (provider, subject);

-- The same of devices that have logged in by one.
CREATE TABLE sso_devices (
    user_id          text NOT NULL,
    device_id        text NOT NULL,
    provider         text NOT NULL,
    subject          text NOT NULL,
    provider_session text NOT NULL,
    PRIMARY KEY (user_id, device_id),
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX sso_devices_provider ON sso_devices (provider, subject);
CREATE INDEX sso_devices_session ON sso_devices (provider, provider_session);
