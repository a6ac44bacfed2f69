// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"testing"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/testnet/oldsite"
)

// TestOAuth1: the npm module oauth-1.0a, at a site of the Authentication Broker
// of 2016.
func TestOAuth1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := oldsite.New(oldsite.Config{Brokers: map[string]string{w.issuer + "/": w.issuer + "/broker/confirm/"}})
	w.check(err)
	defer s.Close()
	var c admin.App
	w.check(w.broker.JSON(w.ctx, &c, "app", "register", "--name", "Blogger", "--redirect-uri", callback, "--oauth1"))
	w.approve = func(link string) string {
		back, err := s.Approve(w.ctx, link, callback)
		w.check(err)
		return back.String()
	}
	w.node("oauth-1.0a.mjs", map[string]any{
		"connect": w.issuer + "/broker/connect", "key": c.ClientID, "secret": c.OAuth1Secret, "callback": callback,
		"site": s.URL(), "index": s.IndexURL(), "api": s.APIURL(), "user": "admin",
	})
}
