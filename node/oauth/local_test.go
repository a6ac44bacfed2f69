// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// TestLocalClientHasNoSites: a client that no log knows gets no token for a
// site, whatever a person has allowed; for this broker itself it does.
func TestLocalClientHasNoSites(t *testing.T) {
	w, p := newPeopled(t, func(w *world, cfg *oauth.Config) {
		cfg.Clients = registration.Clients{Clients: w.ledger, Issuer: w.issuer, Store: w.db, Now: w.clock.now}
	})
	id, ctx, now := oauth.LocalPrefix+registry.NewID(), context.Background(), w.clock.now().Unix()
	check(t, w.db.AddLocal(ctx, registration.Local{
		ID: id, Token: protocol.TokenHash("t"), Metadata: metadata(registry.AuthNone), CreatedAt: now, ExpiresAt: now + 60,
	}, 1))
	users, err := p.List(ctx, "", 1)
	check(t, err)
	for _, try := range []struct {
		resource, scope string
		status          int
		code            string
	}{
		{w.issuer, "openid", http.StatusOK, ""},
		{w.site.meta.Resource, "read", http.StatusBadRequest, "unauthorized_client"},
	} {
		grant, err := p.Grant(ctx, users[0].ID, id, try.resource, try.scope)
		check(t, err)
		verifier := newVerifier()
		target, err := w.server.Decide(ctx, oauth.Ask{
			ClientID: id, RedirectURI: redirectURI, ResponseType: "code", Resource: try.resource, Scope: try.scope, Challenge: challenge(verifier),
		}, oauth.Answer{User: users[0].ID, Grant: grant.ID, AuthTime: now})
		check(t, err)
		back, err := url.Parse(target)
		check(t, err)
		want(t, w.post("/oauth/token", url.Values{
			"grant_type": {"authorization_code"}, "client_id": {id}, "code": {back.Query().Get("code")},
			"code_verifier": {verifier}, "redirect_uri": {redirectURI},
		}), try.status, try.code)
	}
	if len(w.site.tokens) != 0 {
		t.Error("the site was told of a token")
	}
}
