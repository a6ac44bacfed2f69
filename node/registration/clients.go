// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

var _ oauth.Clients = Clients{}

// Clients are those that are known otherwise, and the local ones of this broker.
type Clients struct {
	oauth.Clients
	Issuer string
	Store  Store
	Now    func() time.Time
}

// State implements oauth.Clients.
func (c Clients) State(ctx context.Context, id string) (registry.ClientState, error) {
	if !oauth.IsLocal(id) {
		return c.Clients.State(ctx, id)
	}
	return c.Client(ctx, id)
}

// Client implements oauth.Clients. A local client is active until its time is
// over, or it has heard by which id the log knows it.
func (c Clients) Client(ctx context.Context, id string) (registry.ClientState, error) {
	if !oauth.IsLocal(id) {
		return c.Clients.Client(ctx, id)
	}
	l, err := c.Store.Local(ctx, id, c.Now().Unix())
	if err == nil && l.FetchedAt > 0 {
		err = registry.ErrNotFound
	}
	var logged registry.ClientState
	if err == nil && l.Promoted != "" {
		// What stops the client in the log stops it under its old name too.
		logged, err = c.Clients.Client(ctx, l.Promoted)
		if logged.ID = id; err == nil && logged.Status != registry.ClientActive {
			return logged, nil
		}
	}
	if err != nil {
		return registry.ClientState{}, err
	}
	record := &registry.Record{
		Kind: registry.KindRegistration, Claims: registry.Claims{Issuer: c.Issuer, IssuedAt: l.CreatedAt},
		Registration: &registry.Registration{ClientMetadata: l.Metadata},
	}
	return registry.ClientState{
		ID: id, Home: c.Issuer, HomeStatus: c.BrokerStatus(c.Issuer), Status: registry.ClientActive,
		First: record, Registration: record, Index: -1, Cutoff: logged.Cutoff,
	}, nil
}
