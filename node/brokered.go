// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/vault"
	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
)

// siteHolds is how long a site may hold a connection request open: it calls
// this broker meanwhile.
const siteHolds = 20 * time.Second

// openBrokered serves sites that speak OAuth 1.0a.
func (n *Node) openBrokered(ctx context.Context) error {
	secrets, err := n.openSecrets(ctx)
	if err != nil {
		return err
	}
	own, err := guard.OwnAddresses()
	if err != nil {
		return err
	}
	n.oldSites = guard.New(guard.Config{AllowPrivate: n.cfg.AllowPrivate, Own: own})
	n.slowSites = guard.New(guard.Config{AllowPrivate: n.cfg.AllowPrivate, Own: own, Timeout: siteHolds})
	n.secrets = secrets
	n.brokered, err = brokered.New(brokered.Config{
		Issuer: n.cfg.Issuer, Clients: n.replica, Secrets: secrets, Store: n.store,
		Members: members{n}, Sites: oldSites{n.sites}, Discovery: n.oldSites, Requests: n.slowSites,
		Fresh: n.fresh, Now: n.cfg.Now, Log: n.log,
	})
	if err == nil {
		n.network.HandleAsked(n.brokered.Answer)
	}
	return err
}

// members are the other brokers, for brokered.
type members struct{ *Node }

// Others implements brokered.Members.
func (n members) Others() []string {
	others := n.network.Online()
	for _, m := range n.replica.Chain().ActiveMembers() {
		if m.Issuer != n.cfg.Issuer && !slices.Contains(others, m.Issuer) {
			others = append(others, m.Issuer)
		}
	}
	return others
}

// Online implements brokered.Members.
func (n members) Online(issuer string) bool { return slices.Contains(n.network.Online(), issuer) }

// Ask implements brokered.Members.
func (n members) Ask(ctx context.Context, issuer string, request []byte) ([]byte, error) {
	return n.network.Ask(ctx, issuer, request)
}

// oldSites are sites as brokered sees them: most publish no metadata of ours.
type oldSites struct{ *sites.Directory }

// Notified implements brokered.Sites.
func (d oldSites) Notified(ctx context.Context, home string) string {
	site, err := d.Site(ctx, strings.TrimSuffix(home, "/"))
	if err != nil || site.EventsEndpoint == "" {
		return ""
	}
	return site.Resource
}

// secrets are the OAuth 1.0a secrets of this broker's clients. They are needed
// in clear, and so they are encrypted at rest.
type secrets struct {
	store *store.Store
	vault *vault.Vault
	now   func() time.Time
}

// openSecrets reads the key in vault.pem. Like the one of pairwise subjects it
// may be made beside a database, as long as nothing was encrypted with it.
func (n *Node) openSecrets(ctx context.Context) (*secrets, error) {
	used, err := n.store.HasOAuth1Secrets(ctx)
	if err != nil {
		return nil, err
	}
	key, err := durable.OpenKey(filepath.Join(n.cfg.DataDir, "keys", "vault.pem"), "vault", !used)
	if err != nil {
		return nil, err
	}
	v, err := vault.New(key.Seed())
	return &secrets{n.store, v, n.cfg.Now}, err
}

// OAuth1Secret implements brokered.Secrets.
func (s *secrets) OAuth1Secret(ctx context.Context, clientID string) (string, error) {
	sealed, err := s.store.OAuth1Secret(ctx, clientID)
	if err != nil {
		return "", err
	}
	secret, err := s.vault.Open(place(clientID), sealed)
	if err != nil {
		return "", fmt.Errorf("OAuth 1.0a secret of %s: %w; give it a new one: comity app rotate-secret --oauth1", clientID, err)
	}
	return secret, nil
}

// renew gives a client a new secret; the one before ends at once.
func (s *secrets) renew(ctx context.Context, clientID string) (string, error) {
	secret := rand.Text() + rand.Text() // 260 bits, letters and digits alone
	return secret, s.store.SetOAuth1Secret(ctx, clientID, s.vault.Seal(place(clientID), secret), s.now().Unix())
}

func place(clientID string) string { return "oauth1 " + clientID }

var (
	_ brokered.Members = members{}
	_ brokered.Sites   = oldSites{}
	_ brokered.Secrets = (*secrets)(nil)
	_ federation.Asked = (*brokered.Server)(nil).Answer
)
