// SPDX-License-Identifier: Apache-2.0

package sites

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/comity-network/comity/site/protocol"
)

// Verify runs verify with the keys of a site and returns the site. When
// verify says protocol.ErrUnknownKey, the site may have changed its keys: it
// is fetched again, at most once in ten seconds, and verify runs once more.
// Errors: those of Site, and of verify.
func (d *Directory) Verify(ctx context.Context, resource string, verify func(map[string]ed25519.PublicKey) error) (*Site, error) {
	site, err := d.Site(ctx, resource)
	if err != nil {
		return nil, err
	}
	err = verify(site.Keys)
	if errors.Is(err, protocol.ErrUnknownKey) {
		if site, err = d.Refresh(ctx, resource); err != nil {
			return nil, err
		}
		err = verify(site.Keys)
	}
	if err != nil {
		return nil, err
	}
	return site, nil
}

// Authenticate takes the assertion of a site and returns the site. It works
// once for each assertion. Errors: those of Site and of
// protocol.SignedAssertion, and ErrReplay.
func (d *Directory) Authenticate(ctx context.Context, assertion string) (*Site, error) {
	a, err := protocol.ParseSiteAssertion(assertion)
	if err != nil {
		return nil, err
	}
	if a.Audience != d.cfg.Issuer { // before anybody is asked anything
		return nil, fmt.Errorf("site assertion: %w: aud is %q, expected %q", protocol.ErrAudience, a.Audience, d.cfg.Issuer)
	}
	site, err := d.Verify(ctx, a.Issuer, func(keys map[string]ed25519.PublicKey) error {
		return a.Verify(keys, d.cfg.Issuer, d.cfg.Now())
	})
	if err != nil {
		return nil, err
	}
	until := a.ExpiresAt + int64(protocol.Skew.Seconds())
	if err := d.cfg.Claim(ctx, "site assertion "+a.Issuer+" "+a.ID, until); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReplay, err)
	}
	return site, nil
}
