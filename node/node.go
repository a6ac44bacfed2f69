// SPDX-License-Identifier: Apache-2.0

// Package node is one running broker: it opens the data directory, connects
// the parts and serves them. Open is the wiring, to be read in one sitting.
//
//	data directory          keys/ (0600) · comity.db · lock · admin.sock
//	federation.Replica      the records, and what they say of each client
//	federation.Network      brings them to the other members, and theirs here
//	membership.Desk         who comes into the federation, and who leaves
//	urlclient.Clients       the replica's clients, and those that describe themselves
//	oauth.Server            mints tokens for clients that the replica vouches for
//	accounts.Accounts       the people of the organisation that runs the broker
//	login.Pages             where they log in and decide
//	registration.Server     lets clients register themselves
//	brokered.Server         gives clients credentials at sites that speak OAuth 1.0a
//	notify.Sender, Outbox   tell sites of tokens and stops
//	sites.Directory         knows the sites
//	publish.Handler         shows the records to everybody
//	admin.Handler           obeys the local operator
//
// A stop takes one path: operator → Replica.Append (signed, logged, on disk) →
// changed → oauth.Server (tokens dead and events in the outbox, in one
// transaction) → Outbox → sites. A token takes one path too: oauth.Server →
// store (pending) → Sender → site → store (released) → app.
//
// It trusts its data directory and the operator, and nobody else.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/filelock"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/login"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/node/urlclient"
	"github.com/comity-network/comity/registry"
)

// Node is one opened data directory. Run serves it.
type Node struct {
	cfg     Config
	log     *slog.Logger
	started time.Time

	lock      *filelock.Lock
	keys      keys
	store     *store.Store
	replica   *federation.Replica
	peers     *http.Client // guarded, for other brokers
	strangers *http.Client // guarded, for clients that describe themselves
	oldSites  *http.Client // guarded, for sites that speak OAuth 1.0a
	slowSites *http.Client // the same, where they may take their time
	network   *federation.Network
	desk      *membership.Desk
	backlog   backlog // what is to be caught up before this broker is fresh

	joining   *membership.Joining   // what was intended before the start; nil: nothing
	applicant *membership.Applicant // nil: this node does not ask for membership

	sites  *sites.Directory
	sender *notify.Sender
	outbox *notify.Outbox
	poller *notify.Poller
	oauth  *oauth.Server
	people *accounts.Accounts
	login  *login.Pages

	brokered *brokered.Server
	secrets  *secrets

	registration *registration.Server
	clients      registration.Clients // of the federation, and those that registered here alone

	tls *certificate // nil: plain HTTP, on loopback or behind a proxy
}

// Open opens the data directory, founding a federation of one on the first
// start, and brings it into order after a crash. It serves nothing yet.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Log, started: cfg.Now()}
	for _, step := range []func(context.Context) error{
		n.openDirectory, n.openAccounts, n.openTLS, n.openReplica, n.openMembership, n.openSites, n.openOAuth, n.openRegistration, n.openNetwork, n.openBrokered, n.announce,
	} {
		if err := step(ctx); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// openDirectory takes the lock, the keys and the database.
func (n *Node) openDirectory(ctx context.Context) (err error) {
	if err := durable.PrivateDir(n.cfg.DataDir); err != nil {
		return err
	}
	if n.lock, err = filelock.Acquire(n.cfg.DataDir); err != nil {
		return err
	}
	_, err = os.Stat(n.cfg.storePath())
	fresh := errors.Is(err, fs.ErrNotExist)
	if n.keys, err = openKeys(filepath.Join(n.cfg.DataDir, "keys"), fresh); err != nil {
		return err
	}
	if err = n.intend(fresh); err != nil {
		return err
	}
	n.store, err = store.Open(ctx, n.cfg.storePath())
	return err
}

func (n *Node) openAccounts(ctx context.Context) error {
	if err := n.openSubjectKey(ctx); err != nil {
		return err
	}
	var err error
	n.people, err = accounts.New(accounts.Config{Store: n.store, Key: n.keys.subject, Now: n.cfg.Now, Log: n.log})
	return err
}

func (n *Node) openTLS(context.Context) (err error) {
	if n.cfg.TLSCert != "" {
		n.tls, err = newCertificate(n.cfg.TLSCert, n.cfg.TLSKey, n.log)
	}
	return err
}

func (n *Node) openReplica(ctx context.Context) (err error) {
	own, err := guard.OwnAddresses()
	if err != nil {
		return err
	}
	n.peers = guard.New(guard.Config{AllowPrivate: n.cfg.reachesPrivate(), Own: own})
	n.replica, err = federation.Open(ctx, federation.Config{
		Store: n.store, Key: n.keys.record, Issuer: n.cfg.Issuer,
		Found:    registry.Charter{Name: n.cfg.Organisation},
		Now:      n.cfg.Now,
		Log:      n.log,
		OnChange: n.changed,
	})
	if errors.Is(err, registry.ErrConflict) { // another issuer, or another key
		return fmt.Errorf("data directory %s: %w", n.cfg.DataDir, err)
	}
	return err
}

func (n *Node) openSites(context.Context) error {
	own, err := guard.OwnAddresses()
	if err != nil {
		return err
	}
	client := guard.New(guard.Config{AllowPrivate: n.cfg.AllowPrivate, Own: own})
	policy := sites.Open
	if n.cfg.ListedSites {
		policy = sites.Listed
	}
	n.sites = sites.New(sites.Config{
		Client: client, Store: n.store, Issuer: n.cfg.Issuer, Federation: n.federation, Policy: policy,
		Claim: func(ctx context.Context, id string, until int64) error {
			return n.store.Claim(ctx, oauth.OneTime{Key: id, ExpiresAt: until})
		},
		Now: n.cfg.Now, Log: n.log,
	})
	n.sender = notify.NewSender(notify.SenderConfig{
		Client: client, Sites: n.sites, Key: n.tokenKey, Now: n.cfg.Now,
	})
	n.outbox = notify.NewOutbox(notify.OutboxConfig{Store: n.store, Sender: n.sender, Now: n.cfg.Now, Log: n.log})
	n.poller = notify.NewPoller(notify.PollerConfig{
		Store: n.store, Sign: n.sender.Sign, Authenticate: n.sites.Authenticate, Now: n.cfg.Now, Log: n.log,
	})
	return nil
}

func (n *Node) openOAuth(ctx context.Context) (err error) {
	idTokens, err := openIDKeys(filepath.Join(n.cfg.DataDir, "keys"), n.tokenKey)
	if err != nil {
		return err
	}
	providers, err := n.readProviders()
	if err != nil {
		return err
	}
	issuers, err := readIssuers(n.cfg.JWTIssuers)
	if err != nil {
		return err
	}
	own, err := guard.OwnAddresses()
	if err != nil {
		return err
	}
	n.strangers = guard.New(guard.Config{AllowPrivate: n.cfg.AllowPrivate, Own: own})
	n.clients = registration.Clients{
		Clients: urlclient.New(urlclient.Config{Replica: n.replica, HTTP: n.strangers, Now: n.cfg.Now}),
		Issuer:  n.cfg.Issuer, Store: n.store, Now: n.cfg.Now,
	}
	n.login, err = login.New(login.Config{
		Issuer: n.cfg.Issuer, Organisation: n.cfg.Organisation, Accounts: n.people, Clients: n.clients,
		Broker: func() login.Broker { return n.oauth }, Now: n.cfg.Now, Log: n.log,
	})
	if err != nil {
		return err
	}
	if n.cfg.PasswordGrant {
		n.log.Warn("apps may send people's passwords (--password-grant), which RFC 9700 forbids: switch it off as soon as no app needs it")
	}
	n.oauth, err = oauth.New(oauth.Config{
		Issuer: n.cfg.Issuer, Federation: n.federation, Clients: n.clients, Sites: n.sites,
		Sender: n.sender, Store: n.store, TokenKey: n.tokenKey, TokenKeys: n.tokenKeys,
		People: n.login, IDTokens: idTokens, Subject: n.people.Subject, PasswordGrant: n.cfg.PasswordGrant,
		SAML: providers, JWTIssuers: issuers, Registration: true,
		Fresh: n.fresh, MaxAge: func() int64 { return n.replica.Chain().Latest().MaxAge }, Now: n.cfg.Now, Log: n.log,
	})
	if err != nil {
		return err
	}
	return n.oauth.Recover(ctx)
}

func (n *Node) tokenKey() registry.SigningKey { return n.keys.token }
func (n *Node) tokenKeys() []registry.JWK     { return []registry.JWK{n.keys.token.JWK()} }

// describe is what this broker says of itself.
func (n *Node) describe() registry.Broker {
	addresses := append([]string{}, n.network.Addresses()...)
	return registry.Broker{
		Organisation: n.cfg.Organisation,
		Endpoints:    n.oauth.Endpoints(),
		TokenKeys:    n.tokenKeys(),
		Peers:        []registry.Peer{{ID: n.keys.peerID, Addresses: addresses[:min(len(addresses), registry.MaxPeers)]}},
	}
}

// announce appends this broker's record to its log, where what it says has
// changed since the last one.
func (n *Node) announce(ctx context.Context) error {
	if n.left() {
		return nil // nobody would take it
	}
	next := n.describe()
	last, err := n.replica.BrokerRecord(ctx, n.keys.record.ID())
	if err == nil && sameBroker(*last.Broker, next) {
		return nil
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if _, _, err := n.replica.Append(ctx, federation.Draft{Broker: &next}); err != nil {
		return fmt.Errorf("announce this broker: %w", err)
	}
	return nil
}

// Close gives everything back. Run has returned, or was never called.
func (n *Node) Close() error {
	var errs []error
	if n.network != nil {
		errs = append(errs, n.network.Close())
	}
	for _, client := range []*http.Client{n.peers, n.strangers, n.oldSites, n.slowSites} {
		if client != nil {
			client.CloseIdleConnections()
		}
	}
	if n.sites != nil {
		errs = append(errs, n.sites.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

// Ready is what a node tells when it serves.
type Ready struct {
	Issuer     string
	PeerID     string
	Federation string // the one that it is in, or asks to join
	Joining    bool   // it asks, and waits for the answer
}
