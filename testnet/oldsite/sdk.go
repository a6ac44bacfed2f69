// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
)

// The site asks the SDK, where it has one, before it gives a client
// credentials, and whenever these are used. Its brokers' identifiers are their
// issuers with a slash behind them.

// admits is nil when the client of a connection request may have credentials.
func (s *Site) admits(ctx context.Context, broker, clientID, callback string) *Refusal {
	if s.cfg.SDK == nil {
		return nil
	}
	client, err := s.cfg.SDK.Client(ctx, strings.TrimSuffix(broker, "/"), clientID)
	switch {
	case errors.Is(err, site.ErrDenied), errors.Is(err, registry.ErrRevoked), errors.Is(err, registry.ErrNotFound):
		return &Refusal{http.StatusBadRequest, "ba.rejected_client", err.Error()}
	case err != nil:
		return &Refusal{http.StatusServiceUnavailable, "rest_not_available", err.Error()}
	case !client.AllowsRedirect(callback):
		return &Refusal{http.StatusBadRequest, "ba.invalid_callback", "The callback URL is not registered for the client."}
	}
	return nil
}

// alive is nil when a client's credentials may be used. Those that never can
// again are thrown away.
func (s *Site) alive(ctx context.Context, c Credentials) error {
	if s.cfg.SDK == nil {
		return nil
	}
	err := s.cfg.SDK.Alive(ctx, strings.TrimSuffix(c.Broker, "/"), c.ClientID, c.IssuedAt)
	if stop := (*site.StoppedError)(nil); errors.As(err, &stop) && stop.Final {
		s.Drop(c.ClientID)
	}
	return err
}

// isSDK says whether the SDK serves a path.
func (s *Site) isSDK(path string) bool {
	return s.cfg.SDK != nil && (path == "/.well-known/oauth-protected-resource" || strings.HasPrefix(path, "/comity/"))
}
