-- Notifications are sent to push gateways. Owned by internal/personal/push.

-- +goose Up

-- A pusher that keeps up has the position of the follower http_pushers. One that does not
-- has one of its own, sent_up_to, up to which everything was sent; it is tried again when it is
-- due, and has failed so many times in a row since failing_since. set_at is when a client
-- has set it last, in seconds since the epoch.
ALTER TABLE pushers
    ADD COLUMN enabled       boolean NOT NULL DEFAULT true,
    ADD COLUMN set_at        bigint NOT NULL DEFAULT extract(epoch FROM clock_timestamp())::bigint,
    ADD COLUMN sent_up_to    bigint,
    ADD COLUMN due           timestamptz,
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN attempts      integer NOT NULL DEFAULT 0;
CREATE INDEX pushers_due ON pushers (due) WHERE sent_up_to IS NOT NULL;

-- What came before is not sent.
INSERT INTO followers (name, position) SELECT 'http_pushers', position FROM journal;
