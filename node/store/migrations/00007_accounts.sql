-- SPDX-License-Identifier: Apache-2.0
-- The people of the organisation that runs the broker: see node/accounts/store.go
-- and accounts.go, sessions.go. Times are seconds since 1970. Nothing that opens
-- anything is here: passwords are Argon2id hashes, sessions are SHA-256.

-- +goose Up

CREATE TABLE users (
    id           TEXT     NOT NULL PRIMARY KEY,
    name         TEXT     NOT NULL UNIQUE,
    display_name TEXT     NOT NULL,
    password     TEXT     NOT NULL, -- PHC string
    disabled     SMALLINT NOT NULL DEFAULT 0,
    created_at   BIGINT   NOT NULL,
    password_at  BIGINT   NOT NULL,
    last_login   BIGINT   NOT NULL DEFAULT 0,
    version      BIGINT   NOT NULL DEFAULT 0
);

CREATE TABLE user_sessions (
    hash       TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL,
    auth_time  BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX user_sessions_user ON user_sessions (user_id);
CREATE INDEX user_sessions_expiry ON user_sessions (expires_at);

CREATE TABLE user_grants (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    resource   TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, client, resource)
);
