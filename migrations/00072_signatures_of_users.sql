-- What a user has signed is found by the user. Owned by internal/e2ee/devicekeys.

-- +goose Up
CREATE INDEX master_key_signatures_of_user ON master_key_signatures (signer_id, user_id) WHERE device_id IS NULL;
