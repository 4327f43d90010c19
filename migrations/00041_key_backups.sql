-- Backups of the keys of encrypted rooms, which clients have encrypted. Owned by internal/e2ee/keybackup.

-- +goose Up
CREATE TABLE key_backups (
    backup_id bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id   text    NOT NULL,
    version   bigint  NOT NULL,
    algorithm text    NOT NULL,
    -- JSON.
    auth_data bytea   NOT NULL,
    -- Changes whenever keys do.
    etag      text    NOT NULL,
    -- How many keys there are, and what they count for the bound of their user.
    keys      bigint  NOT NULL DEFAULT 0,
    bytes     bigint  NOT NULL DEFAULT 0,
    -- True for one that is remembered so that it can be deleted again.
    deleted   boolean NOT NULL DEFAULT false,
    UNIQUE (user_id, version)
);

-- No foreign key: keys come by the thousand, and whoever writes them has locked the row of their backup.
CREATE TABLE room_keys (
    backup_id           bigint  NOT NULL,
    room_id             text    COLLATE "C" NOT NULL,
    session_id          text    COLLATE "C" NOT NULL,
    first_message_index bigint  NOT NULL,
    forwarded_count     bigint  NOT NULL,
    is_verified         boolean NOT NULL,
    -- JSON.
    session_data        bytea   NOT NULL,
    PRIMARY KEY (backup_id, room_id, session_id)
);
