-- +goose Up

-- How many text messages the server has sent in each of the last 24 hours, as hours
-- since the epoch. Owned by internal/threepid.
CREATE TABLE text_messages_sent (
    hour bigint  PRIMARY KEY,
    sent integer NOT NULL
);
