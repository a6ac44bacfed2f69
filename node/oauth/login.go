// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"net/http"
)

// People are those who have an account at this broker, and the pages on which
// they log in and decide.
type People interface {
	// Ask answers a browser that came with an authorization request for a
	// login at this broker. When its person has decided, Server.Decide says
	// where the browser goes.
	Ask(w http.ResponseWriter, r *http.Request, q Ask)
	// Person returns who gave a grant. registry.ErrNotFound: the grant has
	// ended, or the account is disabled or gone.
	Person(ctx context.Context, grant string) (Person, error)
	// Subject is the name by which one sector knows a person (OpenID Connect
	// Core 1.0, section 8.1).
	Subject(user, sector string) string
}

// Person is who gave a grant.
type Person struct {
	ID          string // never leaves this broker
	Name        string // what is typed at the login
	DisplayName string
}

// Ask is an authorization request for a login at this broker, all of it judged.
type Ask struct {
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseType string `json:"response_type"`
	Resource     string `json:"resource"` // a site, or this broker's issuer
	Scope        string `json:"scope"`
	State        string `json:"state,omitempty"`
	Challenge    string `json:"code_challenge,omitempty"`
	DPoPJKT      string `json:"dpop_jkt,omitempty"`
	Nonce        string `json:"nonce,omitempty"`
	Prompt       string `json:"prompt,omitempty"`
	MaxAge       int64  `json:"max_age"` // seconds since the password was typed; negative: any
	LoginHint    string `json:"login_hint,omitempty"`
}

// Answer is what a person said to an Ask.
type Answer struct {
	Error    string // access_denied, login_required, consent_required; empty: allowed
	User     string // Person.ID
	Grant    string
	AuthTime int64 // when the password was typed, seconds since 1970
}
