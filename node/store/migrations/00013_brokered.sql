-- SPDX-License-Identifier: Apache-2.0
-- Brokered authentication for OAuth 1.0a: see node/brokered/store.go and
-- brokered.go. Times are seconds since 1970. Credentials of sites are not here,
-- nor anywhere else on this disk.

-- +goose Up

-- The OAuth 1.0a secrets of clients whose home this broker is, sealed with the
-- key in keys/vault.pem.
CREATE TABLE oauth1_secrets (
    client     TEXT   NOT NULL PRIMARY KEY,
    sealed     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Who was given credentials where. resource: the site's identifier where it
-- takes notifications of the broker in through, or empty. told: the stop that
-- it was told of last, or empty while the client is not stopped.
CREATE TABLE connections (
    client   TEXT   NOT NULL,
    site     TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    through  TEXT   NOT NULL,
    resource TEXT   NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    told     TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (client, site)
);
