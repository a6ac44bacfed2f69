// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	dghubble "github.com/dghubble/oauth1"

	"github.com/comity-network/comity/testnet/oldsite"
)

// live returns the one set of credentials that the client has at the site.
func live(t testing.TB, s *oldsite.Site) oldsite.Credentials {
	t.Helper()
	all := s.Credentials(client)
	if len(all) != 1 {
		t.Fatalf("the site has %d live sets of credentials, expected 1", len(all))
	}
	return all[0]
}

// TestConnect is the whole story, with a client of somebody else's library,
// which then uses the site.
func TestConnect(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	config := dghubble.NewConfig(client, secret)
	c := config.Client(within(t), dghubble.NewToken("", ""))
	defer c.CloseIdleConnections()
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, home.issuer+"/broker/connect/",
		strings.NewReader(url.Values{"server_url": {site.URL()}}.Encode()))
	check(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(r)
	check(t, err)
	defer resp.Body.Close()
	var got struct {
		Token  string `json:"client_token"`
		Secret string `json:"client_secret"`
		API    string `json:"api_root"`
		Site   struct {
			Name, URL, Home string
			Namespaces      []string
			Authentication  struct {
				Broker string
				OAuth1 map[string]string
			}
		} `json:"site_data"`
	}
	check(t, json.NewDecoder(resp.Body).Decode(&got))
	set := live(t, site)
	if resp.StatusCode != http.StatusOK || got.Token != set.Token || got.Secret != set.Secret || got.API != site.IndexURL() {
		t.Fatalf("%d: %s at %s; the site has %s", resp.StatusCode, got.Token, got.API, set.Token)
	}
	if got.Site.Name != "Old Site" || len(got.Site.Namespaces) == 0 || got.Site.Authentication.Broker != site.ConnectURL() || got.Site.Authentication.OAuth1["request"] == "" {
		t.Errorf("site_data is %+v", got.Site)
	}
	if set.Callback != callback || set.Name != "Example App" || set.Broker != home.issuer+"/" {
		t.Errorf("the site has %+v", set)
	}
	saved, err := home.Connections(t.Context(), client)
	check(t, err)
	if len(saved) != 1 || saved[0].Site != site.IndexURL() || saved[0].Name != "Old Site" || saved[0].Through != home.issuer || saved[0].FirstAt == 0 {
		t.Errorf("saved are %+v", saved)
	}
}
