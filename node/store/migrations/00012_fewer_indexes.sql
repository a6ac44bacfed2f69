-- SPDX-License-Identifier: Apache-2.0
-- What each token pays for, and nothing asks for: a refresh token is released by
-- its hash, and made void by its family; families are purged by looking at all.
-- Tables whose rows are small, or come in the order of their keys, need no
-- second tree for these.

-- +goose Up

DROP INDEX refresh_tokens_pending;
DROP INDEX families_expiry;

DROP INDEX tokens_family;
CREATE INDEX tokens_family ON tokens (family) WHERE family <> '';

CREATE TABLE new_codes (
    key        TEXT    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL CHECK (state IN ('open', 'claimed', 'used', 'refused')),
    token      TEXT    NOT NULL, -- hash of the access token that it is claimed for
    family     TEXT    NOT NULL,
    tries      INTEGER NOT NULL,
    used_ms    BIGINT  NOT NULL DEFAULT 0,
    expires_at BIGINT  NOT NULL
) WITHOUT ROWID;
INSERT INTO new_codes (key, state, token, family, tries, used_ms, expires_at)
    SELECT key, state, token, family, tries, used_ms, expires_at FROM codes;
DROP TABLE codes;
ALTER TABLE new_codes RENAME TO codes;
CREATE INDEX codes_expiry ON codes (expires_at);

CREATE TABLE new_seen (
    id         TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO new_seen (id, expires_at) SELECT id, expires_at FROM seen;
DROP TABLE seen;
ALTER TABLE new_seen RENAME TO seen;
CREATE INDEX seen_expiry ON seen (expires_at);

CREATE TABLE new_families (
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
    reason     TEXT   NOT NULL DEFAULT '',
    subject    TEXT   NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO new_families (id, client, home, site, grant_id, scope, jkt, created_at, expires_at, revoked_at, reason, subject)
    SELECT id, client, home, site, grant_id, scope, jkt, created_at, expires_at, revoked_at, reason, subject FROM families;
DROP TABLE families;
ALTER TABLE new_families RENAME TO families;
CREATE INDEX families_client ON families (client);
CREATE INDEX families_grant ON families (grant_id) WHERE subject <> '';
