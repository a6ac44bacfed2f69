-- SPDX-License-Identifier: Apache-2.0
-- Logins at this broker: the codes that it made (see node/oauth/login.go), and
-- who a token is about, where the broker knows that.

-- +goose Up

CREATE TABLE issued_codes (
    hash       TEXT   NOT NULL PRIMARY KEY,
    document   TEXT   NOT NULL, -- an oauth.IssuedCode as JSON
    expires_at BIGINT NOT NULL
);
CREATE INDEX issued_codes_expiry ON issued_codes (expires_at);

ALTER TABLE tokens ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE families ADD COLUMN subject TEXT NOT NULL DEFAULT '';
CREATE INDEX families_grant ON families (grant_id) WHERE subject <> '';
