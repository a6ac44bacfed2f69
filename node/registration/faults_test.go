// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
)

// TestFault27Flood: one address, and one network, register slowly; and no
// number of networks fills the disk.
func TestFault27Flood(t *testing.T) {
	b := newBroker(t, open, func(c *node.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // so that a test can come from anywhere
	})
	from := func(address string) answer {
		r, err := http.NewRequest(http.MethodPost, b.issuer+"/oauth/register", strings.NewReader(someApp))
		check(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", address)
		return b.send(r)
	}
	flood := func(address func(i int) string) (registered int) {
		for i := range 100 {
			switch a := from(address(i)); a.status {
			case http.StatusCreated:
				registered++
			case http.StatusTooManyRequests:
				if a.header.Get("Retry-After") == "" || a.text("error") != "temporarily_unavailable" {
					t.Fatalf("answer %s", a.body)
				}
			default:
				t.Fatalf("answer %d %s", a.status, a.body)
			}
		}
		return registered
	}
	if n := flood(func(int) string { return "198.51.100.7" }); n > 15 {
		t.Errorf("one address registered %d", n)
	}
	if n := flood(func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }); n > 40 {
		t.Errorf("one /24 registered %d", n)
	}
	if n := flood(func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) }); n > 15 {
		t.Errorf("one /64 registered %d", n)
	}
	var group errgroup.Group
	group.SetLimit(16)
	for i := range registration.MaxLocal {
		group.Go(func() error {
			from(fmt.Sprintf("10.%d.%d.1", i/250, i%250))
			return nil
		})
	}
	check(t, group.Wait())
	want(t, from("10.200.0.1"), http.StatusServiceUnavailable, "temporarily_unavailable")
	list, err := b.ListLocalApps(t.Context(), admin.Page{})
	check(t, err)
	if len(list.Apps) != registration.MaxLocal {
		t.Errorf("%d local clients, expected %d", len(list.Apps), registration.MaxLocal)
	}
	b.pass(registration.LocalLife)
	created(t, from("10.200.1.1")) // the old ones make place
}

// TestFault30StoppedHost: whoever was stopped does not come back in the open.
func TestFault30StoppedHost(t *testing.T) {
	b := newBroker(t, open)
	register := func(metadata string) string {
		t.Helper()
		app, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(metadata)})
		check(t, err)
		return app.ClientID
	}
	bad := register(`{"client_name":"Bad","redirect_uris":["https://bad.example/cb","http://127.0.0.1/cb","org.bad.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`)
	register(`{"client_name":"Good","redirect_uris":["https://good.example/cb"],"token_endpoint_auth_method":"none"}`)
	open := func(uri string) answer {
		return b.register("", `{"client_name":"Again","redirect_uris":["`+uri+`"],"application_type":"native","token_endpoint_auth_method":"none"}`)
	}
	held := func() {
		t.Helper()
		for _, uri := range []string{"https://bad.example/cb", "https://bad.example:8443/other", "org.bad.app:/x"} {
			a := open(uri)
			want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
			if !strings.Contains(a.text("error_description"), "operator") {
				t.Errorf("it does not say what to do: %s", a.body)
			}
		}
		for _, uri := range []string{"https://good.example/cb", "https://sub.bad.example/cb", "http://127.0.0.1/cb"} {
			created(t, open(uri))
		}
	}
	created(t, open("https://bad.example/cb"))
	b.stop(bad, registry.Suspend)
	held()
	if !strings.Contains(b.logged.String(), `"event":"registration-held"`) {
		t.Error("it is not in the audit log")
	}
	b.stop(bad, registry.Reinstate)
	localID, token := created(t, open("https://bad.example/cb"))
	b.stop(bad, registry.Revoke)
	held()
	a := b.do(http.MethodPut, "/oauth/register/"+localID, token,
		`{"client_id":"`+localID+`","client_name":"Again","redirect_uris":["https://bad.example/cb2"],"token_endpoint_auth_method":"none"}`)
	want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
	// The operator may, and so may whom the operator gave a token.
	register(`{"client_name":"Better","redirect_uris":["https://bad.example/cb"],"token_endpoint_auth_method":"none"}`)
	created(t, b.register(b.initial(1), `{"client_name":"Better","redirect_uris":["https://bad.example/cb"],"token_endpoint_auth_method":"none"}`))
}

// TestFault30FormerHost: a client that gives up a host before it is stopped, or
// while it is, does not free it.
func TestFault30FormerHost(t *testing.T) {
	b := newBroker(t, open)
	bad, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(someApp)})
	check(t, err)
	b.stop(bad.ClientID, registry.Suspend)
	_, err = b.UpdateApp(t.Context(), admin.AppChange{ClientID: bad.ClientID, Metadata: json.RawMessage(`{"redirect_uris":["https://new.example/cb"]}`)})
	check(t, err)
	for _, host := range []string{"app.example", "new.example"} {
		a := b.register("", strings.Replace(someApp, "app.example", host, 1))
		want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
	}
}

// TestFault32NothingIsFetched: whatever URLs a client names, nobody is asked
// for what is there.
func TestFault32NothingIsFetched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	var connections atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	b := newBroker(t, open, func(c *node.Config) { c.AllowPrivate = true })
	at := "https://" + l.Addr().String()
	metadata := strings.Replace(someApp, "{", fmt.Sprintf(`{"client_uri":"%[1]s/","logo_uri":"%[1]s/l","policy_uri":"%[1]s/p","tos_uri":"%[1]s/t",
		"sector_identifier_uri":"%[1]s/s","initiate_login_uri":"%[1]s/i",`, at), 1)
	id, token := created(t, b.register("", metadata))
	created(t, b.register(b.initial(1), metadata))
	want(t, b.register(b.initial(1), strings.Replace(metadata, "{", `{"jwks_uri":"`+at+`/jwks",`, 1)), http.StatusBadRequest, "invalid_client_metadata")
	want(t, b.do(http.MethodGet, "/oauth/register/"+id, token, ""), http.StatusOK, "")
	if page := b.do(http.MethodGet, "/oauth/authorize?"+ask(id), "", ""); page.status != http.StatusOK {
		t.Errorf("the login: %d", page.status)
	}
	b.pass(time.Second)
	if n := connections.Load(); n != 0 {
		t.Errorf("somebody connected %d times", n)
	}
}

// TestFault27Statements: software statements take no token, and sending one does
// not make them faster.
func TestFault27Statements(t *testing.T) {
	b := newBroker(t)
	for _, token := range []string{"", "x"} {
		last := 0
		for range 20 {
			last = b.do(http.MethodPost, "/oauth/register", token, statement("a.b.c")).status
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("with the token %q, the last of 20 is answered %d", token, last)
		}
		b.pass(time.Hour)
	}
}
