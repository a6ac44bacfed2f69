// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/protocol"
)

// maxTokenBytes bounds a token in a header.
const maxTokenBytes = 4096

// Require returns middleware that lets a request through when it carries a
// valid token with all words of scope; "" asks for any token. It looks the
// token up in the site's own database and asks nobody. AccessFrom finds the
// result in the request's context.
func (s *Site) Require(scope string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, err := s.Check(w, r)
			if err == nil && !access.Allows(scope) {
				err = &challenge{status: http.StatusForbidden, code: "insufficient_scope", scope: scope,
					description: "the token does not have the scope " + scope}
			}
			if err != nil {
				s.challenge(w, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessKey{}, access)))
		})
	}
}

// Check judges the token of a request, for programs that do not use Require;
// Refuse writes the answer that its error asks for. It may set the header
// DPoP-Nonce.
func (s *Site) Check(w http.ResponseWriter, r *http.Request) (Access, error) {
	scheme, token, err := credentials(r)
	if err != nil {
		return Access{}, err
	}
	found, err := s.lookup(r.Context(), token)
	if err != nil {
		return Access{}, err
	}
	switch {
	case found.JKT == "" && scheme != "bearer":
		return Access{}, invalidToken("this is a Bearer token")
	case found.JKT != "" && scheme != "dpop":
		return Access{}, &challenge{status: http.StatusUnauthorized, scheme: "DPoP", code: "invalid_token",
			description: "this token is bound to a key: send it with the scheme DPoP and a proof"}
	case found.JKT != "":
		if err := s.checkProof(w, r, token, found.JKT); err != nil {
			return Access{}, err
		}
	}
	if err := s.use(r.Context(), found.Token); err != nil {
		return Access{}, err
	}
	return Access{
		Grant: found.Grant, UserID: found.User, Subject: found.Subject, ClientID: found.ClientID,
		Broker: found.Broker, Scope: found.Scope, ExpiresAt: found.ExpiresAt,
	}, nil
}

// Refuse answers a request that Check refused.
func (s *Site) Refuse(w http.ResponseWriter, err error) { s.challenge(w, err) }

// credentials finds the one token of a request. It is accepted in the header
// alone: a query ends in logs (RFC 9700, section 4.3.2).
func credentials(r *http.Request) (scheme, token string, err error) {
	headers := r.Header.Values("Authorization")
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return "", "", invalidRequest("send the token in the header Authorization, never in the query")
	}
	if len(headers) > 1 {
		return "", "", invalidRequest("the header Authorization is there more than once")
	}
	if len(headers) == 0 {
		return "", "", &challenge{status: http.StatusUnauthorized}
	}
	scheme, token, _ = strings.Cut(headers[0], " ")
	scheme = strings.ToLower(scheme)
	token = strings.TrimLeft(token, " ")
	if scheme != "bearer" && scheme != "dpop" {
		return "", "", &challenge{status: http.StatusUnauthorized}
	}
	if !isToken(token) {
		return "", "", invalidRequest("the header Authorization does not hold a token")
	}
	return scheme, token, nil
}

// isToken checks the grammar of RFC 6750, section 2.1.
func isToken(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" || len(s) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(body) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0) {
			return false
		}
	}
	return true
}

// lookup finds a live token. What kills it: its own expiry or revocation, the
// end of its grant, a stop of its client or of a broker, the owner's rules, and
// a site that does not know what is stopped.
func (s *Site) lookup(ctx context.Context, token string) (store.Found, error) {
	now := s.config.Now().Unix()
	found, err := s.store.Lookup(ctx, protocol.TokenHash(token), now)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return found, invalidToken("unknown token")
	case err != nil:
		return found, err
	case found.RevokedAt != 0 || found.GrantEnded:
		return found, invalidToken("the token was revoked")
	case found.ExpiresAt <= now:
		return found, invalidToken("the token has expired")
	case found.Stopped:
		return found, invalidToken("the app is stopped")
	}
	if err := s.apps.judge(found.Broker, found.ClientID, found.Home); err != nil {
		return found, invalidToken(err.Error())
	}
	if err := s.trust.Fresh(); err != nil && s.config.WhenStale != AcceptWhenStale {
		return found, err
	}
	if err := s.trust.Alive(found.Broker, found.ClientID, found.Home, found.IssuedAt); errors.Is(err, registry.ErrRevoked) {
		return found, invalidToken(err.Error())
	} else if err != nil {
		return found, err
	}
	return found, nil
}

// use notes the use of a token that is good for one, or for a short time.
func (s *Site) use(ctx context.Context, t store.Token) error {
	if t.Uses == "" {
		return nil
	}
	err := s.store.Use(ctx, t.Hash, s.config.Now().Unix())
	if errors.Is(err, store.ErrUsed) {
		return invalidToken("the token was used as often as it may be")
	}
	return err
}
