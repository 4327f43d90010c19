-- What users want to be notified of, and where to. Owned by internal/push.

-- +goose Up

-- One row for each user who has changed anything. rules is JSON: the user's own
-- rules by kind, the most important first, and what is changed in predefined ones.
-- position is that of the journal entry of the last change.
CREATE TABLE push_rules (
    user_id  text PRIMARY KEY,
    position bigint NOT NULL,
    rules    bytea NOT NULL
);

-- A pusher goes with the device that has set it. since is the position of the
-- journal when it was first set: what came before is not pushed.
CREATE TABLE pushers (
    app_id              text NOT NULL,
    pushkey             text NOT NULL,
    user_id             text NOT NULL,
    device_id           text NOT NULL,
    kind                text NOT NULL,
    app_display_name    text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag         text NOT NULL,
    lang                text NOT NULL,
    data                bytea NOT NULL,
    since               bigint NOT NULL,
    PRIMARY KEY (app_id, pushkey, user_id),
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX pushers_device ON pushers (user_id, device_id);
