// SPDX-License-Identifier: Apache-2.0

package admin

import "encoding/json"

// TokenDraft is an initial access token to be made.
type TokenDraft struct {
	Uses int64 `json:"uses"`        // how many apps it may register
	For  int64 `json:"for_seconds"` // how long
}

// TokenID names an initial access token.
type TokenID struct {
	ID string `json:"id"`
}

// Token is an initial access token as the operator sees it. Times are seconds
// since 1970.
type Token struct {
	ID        string `json:"id"`
	Token     string `json:"initial_access_token,omitempty"` // once, when it was made
	Uses      int64  `json:"uses"`
	Used      int64  `json:"used"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
}

// TokenList holds the tokens that have not expired.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// LocalApp is an app that registered itself at this broker and is in no log.
type LocalApp struct {
	ClientID  string          `json:"client_id"`
	Name      string          `json:"client_name"`
	Promoted  string          `json:"promoted_to,omitempty"` // its client_id in the log
	CreatedAt int64           `json:"created_at"`
	ExpiresAt int64           `json:"expires_at"`
	Metadata  json.RawMessage `json:"metadata"`
}

// LocalAppList is one page of them.
type LocalAppList struct {
	Apps []LocalApp `json:"apps"`
	Next string     `json:"next,omitempty"` // pass as After for more
}
