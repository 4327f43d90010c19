-- +goose Up

-- Whom users had themselves listed to look at their presence, in the first versions
-- of the client-server API. Owned by internal/presence.
CREATE TABLE presence_lists (
    user_id text NOT NULL,
    listed  text NOT NULL,
    PRIMARY KEY (user_id, listed)
);
