-- SPDX-License-Identifier: Apache-2.0
-- Tokens under keys that begin with the time of their expiry (see
-- node/oauth/tokenkey.go): rows of the same time lie side by side, one tree in
-- place of three, and a commit writes a page or two of each tree however many
-- tokens there are. Tokens from before have a key without a time.
--
-- Of a redemption only the state of its access token says how far it is: what
-- the code, the used and the new refresh token are follows from that, so that a
-- release changes one row. See tokens.go.

-- +goose Up

CREATE TABLE new_tokens (
    key         TEXT   NOT NULL PRIMARY KEY,
    type        TEXT   NOT NULL,
    jkt         TEXT   NOT NULL,
    client      TEXT   NOT NULL,
    home        TEXT   NOT NULL,
    site        TEXT   NOT NULL,
    scope       TEXT   NOT NULL,
    family      TEXT   NOT NULL, -- empty: without a grant
    grant_id    TEXT   NOT NULL,
    subject     TEXT   NOT NULL DEFAULT '',
    uses        TEXT   NOT NULL DEFAULT '',
    used_at     BIGINT NOT NULL DEFAULT 0, -- of the first use, where uses says something
    issued_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('pending', 'released', 'void', 'revoked')),
    released_ms BIGINT NOT NULL, -- 0: never
    revoked_at  BIGINT NOT NULL DEFAULT 0,
    reason      TEXT   NOT NULL DEFAULT '',
    code        TEXT   NOT NULL, -- key in codes that it was minted for, or empty
    rotates     TEXT   NOT NULL, -- key of the refresh token that it was minted for, or empty
    refresh     TEXT   NOT NULL  -- key of the refresh token that came with it, or empty
) WITHOUT ROWID;
INSERT INTO new_tokens
    SELECT '000000000000.' || hash, type, jkt, client, home, site, scope, family, grant_id, subject, uses, used_at,
        issued_at, expires_at, state, CASE WHEN state IN ('released', 'revoked') THEN 1000 * issued_at ELSE 0 END, revoked_at, reason,
        code, CASE WHEN rotates = '' THEN '' ELSE '000000000000.' || rotates END, ''
    FROM tokens;
UPDATE new_tokens SET refresh = '000000000000.' || refresh_tokens.hash
    FROM refresh_tokens WHERE new_tokens.state = 'pending' AND new_tokens.key = '000000000000.' || refresh_tokens.token;
DROP TABLE tokens;
ALTER TABLE new_tokens RENAME TO tokens;
CREATE INDEX tokens_pending ON tokens (issued_at) WHERE state = 'pending';
CREATE INDEX tokens_client ON tokens (client);
CREATE INDEX tokens_family ON tokens (family) WHERE family <> '';

CREATE TABLE new_refresh_tokens (
    key        TEXT   NOT NULL PRIMARY KEY,
    family     TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    token      TEXT   NOT NULL, -- key of the access token that it came with
    used_by    TEXT   NOT NULL  -- key of the access token that it was used for, or empty
) WITHOUT ROWID;
INSERT INTO new_refresh_tokens
    SELECT '000000000000.' || hash, family, issued_at, expires_at, '000000000000.' || token,
        CASE WHEN used_by = '' THEN '' ELSE '000000000000.' || used_by END
    FROM refresh_tokens;
DROP TABLE refresh_tokens;
ALTER TABLE new_refresh_tokens RENAME TO refresh_tokens;

CREATE TABLE new_codes (
    key    TEXT    NOT NULL PRIMARY KEY, -- begins with the time of its expiry
    token  TEXT    NOT NULL, -- key of the access token that it was used for; empty: it may be tried again
    family TEXT    NOT NULL, -- what began with that
    tries  INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO new_codes
    SELECT key, CASE WHEN state = 'open' THEN '' ELSE '000000000000.' || token END, family, tries FROM codes;
DROP TABLE codes;
ALTER TABLE new_codes RENAME TO codes;
