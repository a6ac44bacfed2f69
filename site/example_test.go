// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver is the site's choice

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
)

// photoSite is a whole site: each user has photos, and apps may see them when
// the user says so. Everything but the login is here.
func photoSite(ctx context.Context, db *sql.DB, resource, broker, federation string) (http.Handler, *site.Site, error) {
	s, err := site.New(ctx, site.Config{
		Resource:   resource,
		Name:       "Photos",
		Brokers:    []string{broker},
		Federation: federation,
		Store:      db,
		Key:        registry.GenerateSigningKey(), // a real site keeps it in a file
		Scopes: map[string]string{
			"photos:read":  "See your photos",
			"photos:write": "Add and delete photos",
		},
		User: func(r *http.Request) (string, bool) { // a real site looks at its session
			cookie, err := r.Cookie("user")
			if err != nil {
				return "", false
			}
			return cookie.Value, true
		},
		LoginURL: "/login",
	})
	if err != nil {
		return nil, nil, err
	}
	photos := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := site.AccessFrom(r.Context())
		fmt.Fprintf(w, "photos of %s, for an app with scope %s", access.UserID, access.Scope)
	})
	mux := http.NewServeMux()
	mux.Handle("/comity/", s.Handler())
	mux.Handle("/.well-known/oauth-protected-resource", s.Handler())
	mux.Handle("GET /photos", s.Require("photos:read")(photos))
	return mux, s, nil
}

// Example runs the photo site: an app is refused, the user lets it in, the
// broker announces its token, and the app is served.
func Example() {
	t := &plainTB{}
	defer t.end()
	federation := newFederation(t, 1) // a broker in memory; yours has a name
	broker := federation.brokers[0]
	app := broker.register(metadata())
	federation.clock = nil // the site of the example lives in real time

	server := httptest.NewUnstartedServer(nil)
	resource := "http://" + server.Listener.Addr().String()
	dir, err := os.MkdirTemp("", "photos")
	must(t, err)
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "photos.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
	must(t, err)
	defer db.Close()
	handler, s, err := photoSite(ctx, db, resource, broker.issuer, federation.id())
	must(t, err)
	defer s.Close()
	server.Config.Handler = handler
	server.Start()
	defer server.Close()
	must(t, s.Poll(ctx)) // or: go s.Run(ctx)

	photos := &testSite{Site: s, t: t, fed: federation, server: server, config: site.Config{Resource: resource}}
	fmt.Println("without a token:", photos.call("/photos", "").StatusCode)
	code := photos.consent("alice", app, func(q url.Values) { q.Set("scope", "photos:read") })
	post(t, resource+"/comity/events", broker.issued("the-token", code, nil))
	fmt.Println("with a token:", photos.call("/photos", "the-token").body)
	must(t, s.EndGrant(ctx, "alice", code.Grant))
	fmt.Println("after alice has ended it:", photos.call("/photos", "the-token").StatusCode)
	// Output:
	// without a token: 401
	// with a token: photos of alice, for an app with scope photos:read
	// after alice has ended it: 401
}
