// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/publish"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func (n *Node) openRegistration(context.Context) (err error) {
	n.registration, err = registration.New(registration.Config{
		Issuer: n.cfg.Issuer, Open: n.cfg.OpenRegistration, Store: n.store, Records: n.replica, Registrar: registrar{n},
		Endpoint: n.oauth.Endpoint, Heads: n.heads, Now: n.cfg.Now, Log: n.log,
	})
	return err
}

// heads is what this broker has of each log.
func (n *Node) heads(ctx context.Context) []registration.Head {
	var all []registration.Head
	for _, m := range publish.Members(ctx, n.replica, n.cfg.Now()) {
		all = append(all, registration.Head{Issuer: m.Issuer, Size: m.Head.Size, Root: m.Head.Root, ViewAge: m.ViewAge})
	}
	return all
}

// registrar does for a client what the operator could.
type registrar struct{ *Node }

func (n registrar) Register(ctx context.Context, m registry.ClientMetadata) (registry.ClientState, error) {
	return n.register(ctx, registry.Registration{ClientMetadata: m})
}

func (n registrar) Replace(ctx context.Context, id string, m registry.ClientMetadata) (registry.ClientState, error) {
	return n.register(ctx, registry.Registration{Client: id, ClientMetadata: m})
}

func (n registrar) register(ctx context.Context, r registry.Registration) (registry.ClientState, error) {
	id, err := n.appendRegistration(ctx, r)
	if err != nil {
		return registry.ClientState{}, err
	}
	return n.replica.Client(ctx, id)
}

func (n registrar) Withdraw(ctx context.Context, id string) error {
	_, index, err := n.recordStop(ctx, admin.Stop{ClientID: id, Action: registry.Revoke, Reason: "developer-request"})
	if err == nil {
		n.awaitMembers(ctx, index+1)
	}
	return err
}

// Bounds of initial access tokens.
const (
	maxTokenUses = 10_000
	maxTokenLife = 366 * 24 * 3600 // seconds
)

// MakeToken implements admin.Operations.
func (n *Node) MakeToken(ctx context.Context, d admin.TokenDraft) (admin.Token, error) {
	switch {
	case d.Uses < 1 || d.Uses > maxTokenUses:
		return admin.Token{}, fmt.Errorf("a token can register 1 to %d apps, not %d: choose --uses", maxTokenUses, d.Uses)
	case d.For < 1 || d.For > maxTokenLife:
		return admin.Token{}, errors.New("a token is good for at least a second and at most a year: choose --for")
	}
	token, now := registration.NewToken(), n.cfg.Now().Unix()
	t := registration.InitialToken{
		ID: strings.ToLower(rand.Text()[:8]), Hash: protocol.TokenHash(token), Uses: d.Uses, CreatedAt: now, ExpiresAt: now + d.For,
	}
	if err := n.store.AddInitialToken(ctx, t); err != nil {
		return admin.Token{}, err
	}
	n.log.Info("registration token made", slog.Group("audit", "event", "registration-token-made", "token", t.ID, "uses", t.Uses))
	shown := shownToken(t)
	shown.Token = token
	return shown, nil
}

func shownToken(t registration.InitialToken) admin.Token {
	return admin.Token{ID: t.ID, Uses: t.Uses, Used: t.Used, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
}

// ListTokens implements admin.Operations.
func (n *Node) ListTokens(ctx context.Context) (admin.TokenList, error) {
	tokens, err := n.store.InitialTokens(ctx, n.cfg.Now().Unix())
	list := admin.TokenList{Tokens: []admin.Token{}}
	for _, t := range tokens {
		list.Tokens = append(list.Tokens, shownToken(t))
	}
	return list, err
}

// EndToken implements admin.Operations.
func (n *Node) EndToken(ctx context.Context, id admin.TokenID) (admin.Token, error) {
	list, err := n.ListTokens(ctx)
	if err != nil {
		return admin.Token{}, err
	}
	for _, t := range list.Tokens {
		if t.ID != id.ID {
			continue
		}
		err := n.store.EndInitialToken(ctx, id.ID)
		if err == nil {
			n.log.Info("registration token ended", slog.Group("audit", "event", "registration-token-ended", "token", t.ID))
		}
		return t, err
	}
	return admin.Token{}, fmt.Errorf("there is no token %.64q, or it has expired: comity app tokens lists them", id.ID)
}

// ListLocalApps implements admin.Operations.
func (n *Node) ListLocalApps(ctx context.Context, page admin.Page) (admin.LocalAppList, error) {
	limit := page.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	list := admin.LocalAppList{Apps: []admin.LocalApp{}}
	locals, err := n.store.Locals(ctx, page.After, limit, n.cfg.Now().Unix())
	if err != nil {
		return list, err
	}
	for _, l := range locals {
		metadata, err := l.Metadata.Document()
		if err != nil {
			return list, err
		}
		list.Apps = append(list.Apps, admin.LocalApp{
			ClientID: l.ID, Name: l.Metadata.Name, Promoted: l.Promoted, CreatedAt: l.CreatedAt, ExpiresAt: l.ExpiresAt, Metadata: metadata,
		})
	}
	if len(locals) == limit {
		list.Next = locals[limit-1].ID
	}
	return list, nil
}

// PromoteApp implements admin.Operations. The app keeps its secret and the
// token that manages it.
func (n *Node) PromoteApp(ctx context.Context, id admin.AppID) (admin.App, error) {
	now := n.cfg.Now().Unix()
	l, err := n.store.Local(ctx, id.ClientID, now)
	switch {
	case errors.Is(err, registry.ErrNotFound) && !oauth.IsLocal(id.ClientID):
		return admin.App{}, fmt.Errorf("%.80q is not an app that registered itself here (their ids begin with %s): comity app list --local shows them", id.ClientID, oauth.LocalPrefix)
	case errors.Is(err, registry.ErrNotFound):
		return admin.App{}, fmt.Errorf("there is no app %.80q, or its 30 days are over: comity app list --local shows them", id.ClientID)
	case err != nil:
		return admin.App{}, err
	case l.Promoted != "":
		return admin.App{}, fmt.Errorf("%s was promoted before: it is %s", id.ClientID, l.Promoted)
	}
	client, err := n.appendRegistration(ctx, registry.Registration{ClientMetadata: l.Metadata})
	if err != nil {
		return admin.App{}, err
	}
	if err := n.store.PromoteLocal(ctx, l.ID, client, now); err != nil {
		return admin.App{}, fmt.Errorf("%s is registered as %s, but cannot be told so: %w", l.ID, client, err)
	}
	n.log.Info("app promoted", slog.Group("audit", "event", "app-promoted", "client", client, "local", l.ID))
	return n.ShowApp(ctx, admin.AppID{ClientID: client})
}
