-- SPDX-License-Identifier: Apache-2.0
-- Logins at this broker: the codes and one-time tokens that it made (see
-- node/oauth/issuedcode.go), devices that wait for somebody (device.go), who a
-- token is about, where the broker knows that, and how often it may be used
-- (uses.go).

-- +goose Up

CREATE TABLE issued_codes (
    hash       TEXT   NOT NULL PRIMARY KEY,
    document   TEXT   NOT NULL, -- an oauth.IssuedCode as JSON
    expires_at BIGINT NOT NULL
);
CREATE INDEX issued_codes_expiry ON issued_codes (expires_at);

CREATE TABLE devices (
    hash       TEXT   NOT NULL PRIMARY KEY, -- of the device code
    user_code  TEXT   NOT NULL UNIQUE,      -- of no use without a login
    ask        TEXT   NOT NULL,             -- an oauth.Ask as JSON
    answer     TEXT   NOT NULL DEFAULT '',  -- an oauth.Answer as JSON; empty: nobody has decided
    expires_at BIGINT NOT NULL
);
CREATE INDEX devices_expiry ON devices (expires_at);

ALTER TABLE tokens ADD COLUMN uses TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0; -- of the first use, where uses says something
ALTER TABLE tokens ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE families ADD COLUMN subject TEXT NOT NULL DEFAULT '';
CREATE INDEX families_grant ON families (grant_id) WHERE subject <> '';
