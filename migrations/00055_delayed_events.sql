-- Events that are to be sent later (MSC4140). Owned by internal/rooms/delayedevents.

-- +goose Up

-- Times are milliseconds since the epoch. An event is scheduled while it has a time at which it is due; sending says that
-- it is on its way, and may have been sent. position is that of the journal when it was scheduled. One that is finalised has
-- an event_id if it was sent, and an error, the answer to a request, if it could not be; by_action says that a client has
-- sent or cancelled it before its time.
CREATE TABLE delayed_events (
    delay_id     text PRIMARY KEY,
    user_id      text NOT NULL,
    device_id    text NOT NULL,
    guest        boolean NOT NULL,
    room_id      text NOT NULL,
    type         text NOT NULL,
    state_key    text,
    content      bytea NOT NULL,
    ts           bigint,
    txn_id       text,
    position     bigint NOT NULL,
    delay        bigint NOT NULL,
    since        bigint NOT NULL,
    due          bigint,
    bytes        integer NOT NULL,
    sending      boolean NOT NULL DEFAULT false,
    failed       integer NOT NULL DEFAULT 0,
    finalised_at bigint,
    by_action    boolean NOT NULL DEFAULT false,
    event_id     text,
    error        bytea
);
CREATE INDEX delayed_events_due ON delayed_events (due) INCLUDE (bytes) WHERE due IS NOT NULL;
CREATE INDEX delayed_events_of_user ON delayed_events (user_id, finalised_at, due);
CREATE INDEX delayed_events_finalised ON delayed_events (finalised_at) WHERE finalised_at IS NOT NULL;
-- A request that is repeated schedules nothing.
CREATE UNIQUE INDEX delayed_events_transaction ON delayed_events (user_id, device_id, room_id, type, txn_id) WHERE txn_id IS NOT NULL;
