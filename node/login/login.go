// SPDX-License-Identifier: Apache-2.0

// Package login is where the people of the organisation that runs the broker
// log in, allow apps, and take that back. Sites have pages of their own for
// their users; these are for logins at the broker.
//
//	/login            the login form; then the question of the app that asks
//	/login/decision   the answer
//	/logout           the end of the session
//	/account          connected apps, each with a button that ends it
//	/device           for a device without a browser: its code, then the same
//
// An authorization request comes from oauth.Server, which has judged it. It
// travels through the pages sealed: authenticated with a key of this process,
// for one browser (a cookie that this page set), for ten minutes. So a link
// that was made in one browser is of no use in another (fault 11), and nothing
// is stored for somebody who never comes back. The answer goes to
// oauth.Server.Decide, once.
//
// All pages work without script, on a phone, in the dark. They are in no frame
// and in no cache. Cookies are of this host alone (__Host-), except for http on
// loopback. Forms of other origins are refused.
//
// It trusts package accounts for who somebody is, and oauth for what an app may
// ask.
package login

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/seal"
	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// Purposes of sealed values, so that none is ever taken for another.
const (
	sealAsk      = "ask"      // an authorization request, while its person logs in
	sealDecision = "decision" // the form that answers it
	sealEnd      = "end"      // the form that ends a grant
)

// Config is what the pages need. All of it must be set.
type Config struct {
	Issuer       string
	Organisation string // who runs the broker, as people know it
	Accounts     *accounts.Accounts
	Clients      Clients
	Broker       func() Broker // the authorization server, which is made after this
	Now          func() time.Time
	Log          *slog.Logger
}

// Clients knows the clients of the federation.
type Clients interface {
	// Client returns what the records say of a client right now. The error is
	// registry.ErrNotFound when there is none.
	Client(ctx context.Context, id string) (registry.ClientState, error)
}

// Broker is the authorization server.
type Broker interface {
	// Decide returns where the browser goes with an answer, if anywhere. Any
	// error is for a page, not for the app.
	Decide(ctx context.Context, q oauth.Ask, a oauth.Answer) (string, error)
	// Device returns what the device with a user code asks for.
	Device(r *http.Request, userCode string) (oauth.Ask, error)
	// EndGrant kills everything that was minted from a grant, and tells sites.
	EndGrant(ctx context.Context, grant string) error
	// ClaimOnce uses up an identifier; oauth.ErrSeen: it was used before.
	ClaimOnce(ctx context.Context, id oauth.OneTime) error
}

// Pages are the pages of one broker.
type Pages struct {
	Config
	prefix string   // path of the issuer
	secure bool     // the issuer is https
	secret seal.Key // seals forms
}

// New returns the pages.
func New(cfg Config) (*Pages, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	if cfg.Accounts == nil || cfg.Clients == nil || cfg.Broker == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("login: the configuration is not complete")
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return &Pages{Config: cfg, prefix: strings.TrimSuffix(u.Path, "/"), secure: u.Scheme == "https", secret: secret}, nil
}

// Handler serves the pages of the package comment, below the issuer's path.
func (p *Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+p.prefix+"/login", p.showLogin)
	mux.HandleFunc("POST "+p.prefix+"/login", p.login)
	mux.HandleFunc("POST "+p.prefix+"/login/decision", p.decide)
	mux.HandleFunc("POST "+p.prefix+"/logout", p.logout)
	mux.HandleFunc("GET "+p.prefix+"/account", p.showAccount)
	mux.HandleFunc("POST "+p.prefix+"/account", p.endGrant)
	mux.HandleFunc("GET "+p.prefix+"/device", p.showDevice)
	mux.HandleFunc("POST "+p.prefix+"/device", p.device)
	return http.NewCrossOriginProtection().Handler(mux)
}
