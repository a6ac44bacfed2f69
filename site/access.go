// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"slices"
	"strings"
)

// Access is what a valid token allows. The middleware of Require puts it into
// the request's context.
type Access struct {
	Grant     string // id of the user's grant; empty: a token without a grant
	UserID    string // whose grant it is, as Config.User named them; empty without a grant
	Subject   string // who logged in at the broker (AllowBrokerUsers); Grant is the broker's then, and UserID empty
	ClientID  string
	Broker    string // issuer of the broker that minted the token
	Scope     string
	ExpiresAt int64 // seconds since 1970
}

// Allows reports whether the token has all words of scope.
func (a Access) Allows(scope string) bool {
	has := strings.Fields(a.Scope)
	for _, word := range strings.Fields(scope) {
		if !slices.Contains(has, word) {
			return false
		}
	}
	return true
}

type accessKey struct{}

// AccessFrom returns what the token of a request allows; ok is false outside
// of a handler that Require guards.
func AccessFrom(ctx context.Context) (a Access, ok bool) {
	a, ok = ctx.Value(accessKey{}).(Access)
	return a, ok
}
