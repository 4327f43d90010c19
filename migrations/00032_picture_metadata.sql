-- Whether a picture bears more than itself: where and with what it was taken, for
-- example. Owned by internal/media.

-- +goose Up
ALTER TABLE media_pictures ADD COLUMN metadata boolean NOT NULL DEFAULT false;
-- What headers say is found anew when it is wanted: more is read of them now.
DELETE FROM media_pictures;
