-- Media on storage that several processes share. Owned by internal/media.

-- +goose Up

-- Files that are being put into the storage, or were, without a record in media
-- being sure. What stands here long after its time has no record, and is removed.
CREATE TABLE media_storing (
    hash    bytea       PRIMARY KEY,
    -- How many uploads rely on the file being left alone until they have their
    -- record. One whose process was killed counts until the time below.
    holders integer     NOT NULL CHECK (holders >= 0),
    until   timestamptz NOT NULL
);

-- What the headers of pictures tell, so that a file is looked into once.
CREATE TABLE media_pictures (
    hash        bytea   PRIMARY KEY,
    -- The media type; empty: it is no picture.
    format      text    NOT NULL,
    -- Whether the picture is too big for thumbnails, whatever the rest says.
    too_big     boolean NOT NULL,
    width       integer NOT NULL,
    height      integer NOT NULL,
    orientation integer NOT NULL,
    animated    boolean NOT NULL,
    frames      integer NOT NULL,
    unpacked    bigint  NOT NULL
);

-- The thumbnails of each file, by which they are counted. The object itself may be
-- missing; then it is made again.
CREATE TABLE media_thumbnails (
    hash         bytea       NOT NULL,
    name         text        NOT NULL,
    content_type text        NOT NULL,
    made_at      timestamptz NOT NULL,
    PRIMARY KEY (hash, name)
);
