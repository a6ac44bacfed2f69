// SPDX-License-Identifier: Apache-2.0

package sites

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/site/protocol"
)

// Policy says which sites a broker serves.
type Policy string

// The two policies.
const (
	Open   Policy = "open"   // every site but those that are denied
	Listed Policy = "listed" // only sites that are allowed
)

// Rule is what the operator said about one site.
type Rule string

// The rules.
const (
	NoRule  Rule = ""
	Allowed Rule = "allowed"
	Denied  Rule = "denied"
)

// Entry is what the broker remembers of one site.
type Entry struct {
	Resource  string `json:"resource"`
	Rule      Rule   `json:"rule,omitempty"`
	FirstSeen int64  `json:"first_seen,omitempty"` // seconds since 1970; 0: never
	LastSeen  int64  `json:"last_seen,omitempty"`  // when its metadata were last fetched; 0: never
}

// Store keeps rules and times. What a method that returned nil wrote is
// durable.
type Store interface {
	// SiteRule returns NoRule for a site that has none.
	SiteRule(ctx context.Context, resource string) (Rule, error)
	// SetSiteRule replaces the rule.
	SetSiteRule(ctx context.Context, resource string, rule Rule) error
	// SiteSeen notes that the site was seen at a second since 1970. Times
	// never go back.
	SiteSeen(ctx context.Context, resource string, at int64) error
	// ListSites returns all sites that have a rule or were seen, by resource.
	ListSites(ctx context.Context) ([]Entry, error)
}

// Permitted applies policy and rule. The error is ErrDenied, or of the store.
func (d *Directory) Permitted(ctx context.Context, resource string) error {
	rule, err := d.cfg.Store.SiteRule(ctx, resource)
	switch {
	case err != nil:
		return fmt.Errorf("look up the rule for %s: %w", resource, err)
	case rule == Denied:
		return fmt.Errorf("%w: %s is denied", ErrDenied, resource)
	case rule != Allowed && d.cfg.Policy == Listed:
		return fmt.Errorf("%w: %s is not on the list", ErrDenied, resource)
	}
	return nil
}

// Allow lets the broker serve a site.
func (d *Directory) Allow(ctx context.Context, resource string) error {
	return d.setRule(ctx, resource, Allowed)
}

// Deny stops serving a site, at once. Tokens that the site accepted before are
// not touched.
func (d *Directory) Deny(ctx context.Context, resource string) error {
	return d.setRule(ctx, resource, Denied)
}

func (d *Directory) setRule(ctx context.Context, resource string, rule Rule) error {
	if err := protocol.CheckResource(resource); err != nil {
		return err
	}
	return d.cfg.Store.SetSiteRule(ctx, resource, rule)
}

// List returns all sites that have a rule or were seen.
func (d *Directory) List(ctx context.Context) ([]Entry, error) {
	return d.cfg.Store.ListSites(ctx)
}
