// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/trust"
)

// Client is an app of the federation whose registration the site has verified.
type Client struct {
	ID       string
	Home     string // issuer of its home broker; empty: it describes itself, and ID is a URL
	Name     string // as it calls itself
	URI      string // its page; may be empty
	metadata registry.ClientMetadata
}

// AllowsRedirect reports whether uri is one of the app's redirect URIs,
// compared character by character; the port of a loopback address may differ
// for native apps (RFC 8252, section 7.3).
func (c *Client) AllowsRedirect(uri string) bool { return c.metadata.AllowsRedirect(uri) }

// Client verifies an app that comes through one of the site's brokers, as the
// authorization endpoint does: its registration, the stop list, the owner's
// rules. It asks the broker. It is for sites that give apps credentials of
// their own, such as OAuth 1.0a: give them only after it, and ask Alive
// whenever they are used.
//
// The error is a *StoppedError, or wraps ErrDenied; registry.ErrNotFound, when
// the broker knows no such app; registry.ErrStale, when the site cannot know
// what is stopped. Any other means that the broker did not prove what it said,
// or said nothing, and that it may be tried again.
func (s *Site) Client(ctx context.Context, broker, clientID string) (*Client, error) {
	c, err := s.client(ctx, broker, clientID)
	if err != nil {
		return nil, wrap(stoppedError(err))
	}
	return &Client{ID: c.ID, Home: c.Home, Name: c.Name, URI: c.URI, metadata: c.ClientMetadata}, nil
}

// client is the one way by which the site takes an app from a broker. What
// describes itself is not even fetched when the owner does not want it.
func (s *Site) client(ctx context.Context, broker, id string) (*trust.Client, error) {
	if err := s.delegates(broker); err != nil {
		return nil, err
	}
	if registry.IsClientURL(id) {
		if err := s.apps.judge(broker, id, ""); err != nil {
			return nil, err
		}
	}
	c, err := s.trust.Client(ctx, broker, id)
	if err != nil {
		return nil, err
	}
	return c, s.apps.judge(broker, c.ID, c.Home)
}

func (s *Site) delegates(broker string) error {
	if !slices.Contains(s.config.Brokers, broker) {
		return fmt.Errorf("%w: it comes through %s, no broker of this site", ErrDenied, broker)
	}
	return nil
}

// StoppedError says why an app, or what the site gave it, must not be used. It
// wraps registry.ErrRevoked.
type StoppedError struct {
	Reason string // code of the federation, such as "malicious"; empty: none given, or a broker is stopped
	Until  int64  // when it ends by itself, in seconds since 1970; 0: that is open
	Final  bool   // it never ends: what was given can be thrown away
	cause  error
}

func (e *StoppedError) Error() string { return e.cause.Error() }
func (e *StoppedError) Unwrap() error { return e.cause }

// stoppedError gives an error that wraps registry.ErrRevoked its exported form.
func stoppedError(err error) error {
	e := &StoppedError{cause: err}
	if !errors.Is(err, registry.ErrRevoked) || errors.As(err, &e) {
		return err
	}
	var of *trust.StoppedError
	if errors.As(err, &of) {
		e.Reason, e.Until, e.Final = of.Reason, of.Until, of.Final
	}
	return e
}

// Alive is nil while credentials that the site gave an app through broker, at
// the second issuedAt, may be used: the site knows what is stopped, or its
// owner accepts that it does not (Config.WhenStale); neither the app nor its
// home nor the broker is stopped; they were not given before a cutoff; and the
// owner lets the app in. Errors are those of Client; registry.ErrNotFound
// means that Client never verified this app.
//
// It asks the site's own database and nobody else, so that a stop which this
// process, another one of the site, or one before a restart was told of holds
// for the next call. That is why nothing calls the site back when an app is
// stopped: a call back could be missed, Alive cannot.
func (s *Site) Alive(ctx context.Context, broker, clientID string, issuedAt int64) error {
	if err := s.alive(ctx, broker, clientID, issuedAt); err != nil {
		return wrap(stoppedError(err))
	}
	return nil
}

func (s *Site) alive(ctx context.Context, broker, id string, issuedAt int64) error {
	now := s.config.Now().Unix()
	if issuedAt <= 0 || issuedAt > now+int64(registry.MaxAhead.Seconds()) {
		return fmt.Errorf("issuedAt is %d, and now is %d: name the second since 1970 at which the credentials were given", issuedAt, now)
	}
	if err := s.delegates(broker); err != nil {
		return err
	}
	client, err := s.trust.Known(ctx, id)
	if err != nil {
		return fmt.Errorf("client %s: %w", id, err)
	}
	if err := s.apps.judge(broker, id, client.Home); err != nil {
		return err
	}
	if err := s.trust.Fresh(); err != nil && s.config.WhenStale != AcceptWhenStale {
		return err
	}
	stopped, cutoff, err := s.store.Ends(ctx, broker, id, now)
	if err != nil {
		return err
	}
	stop := s.trust.Alive(broker, id, client.Home, issuedAt)
	if stop == nil && stopped {
		stop = s.trust.Stopped(ctx, id, client.Home)
	}
	if issuedAt > cutoff {
		return stop
	}
	dead := &StoppedError{cause: trust.CutOff(issuedAt, cutoff)}
	errors.As(stoppedError(stop), &dead) // which knows the reason
	dead.Final = true
	return dead
}
