-- SPDX-License-Identifier: Apache-2.0
-- What the authorization server keeps: see node/oauth/store.go, which says
-- what each column means, and tokens.go. Times are seconds since 1970, used_ms
-- is milliseconds. Nothing that opens anything is here: tokens are hashes.

-- +goose Up

CREATE TABLE tokens (
    hash       TEXT   NOT NULL PRIMARY KEY,
    type       TEXT   NOT NULL,
    jkt        TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    home       TEXT   NOT NULL,
    site       TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    family     TEXT   NOT NULL, -- empty: without a grant
    grant_id   TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'released', 'void', 'revoked')),
    revoked_at BIGINT NOT NULL DEFAULT 0,
    reason     TEXT   NOT NULL DEFAULT '',
    code       TEXT   NOT NULL, -- key in codes that it was minted for, or empty
    rotates    TEXT   NOT NULL  -- hash of the refresh token that it was minted for, or empty
);
CREATE INDEX tokens_pending ON tokens (issued_at) WHERE state = 'pending';
CREATE INDEX tokens_client ON tokens (client);
CREATE INDEX tokens_family ON tokens (family);
CREATE INDEX tokens_expiry ON tokens (expires_at);

CREATE TABLE families (
    id         TEXT   NOT NULL PRIMARY KEY,
    client     TEXT   NOT NULL,
    home       TEXT   NOT NULL,
    site       TEXT   NOT NULL,
    grant_id   TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    jkt        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL DEFAULT 0,
    reason     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX families_client ON families (client);
CREATE INDEX families_expiry ON families (expires_at);

-- pending: its access token is not released yet. live: good for one refresh.
-- claimed: a refresh is under way. rotated: used up.
CREATE TABLE refresh_tokens (
    hash       TEXT   NOT NULL PRIMARY KEY,
    family     TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('pending', 'live', 'claimed', 'rotated')),
    token      TEXT   NOT NULL, -- hash of the access token that it came with
    used_by    TEXT   NOT NULL DEFAULT '', -- hash of the access token that it is claimed for
    used_ms    BIGINT NOT NULL DEFAULT 0   -- when that was released
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_token ON refresh_tokens (token);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

-- open: may be claimed again, after a redemption that the site did not answer.
CREATE TABLE codes (
    key        TEXT    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL CHECK (state IN ('open', 'claimed', 'used', 'refused')),
    token      TEXT    NOT NULL, -- hash of the access token that it is claimed for
    family     TEXT    NOT NULL,
    tries      INTEGER NOT NULL,
    used_ms    BIGINT  NOT NULL DEFAULT 0,
    expires_at BIGINT  NOT NULL
);
CREATE INDEX codes_expiry ON codes (expires_at);

-- Identifiers of assertions and proofs that were used.
CREATE TABLE seen (
    id         TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX seen_expiry ON seen (expires_at);
