// SPDX-License-Identifier: Apache-2.0

package sites

import (
	"context"
	"fmt"
	"net/http"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/site/protocol"
)

// fetch gets the metadata of a site and its keys. The header is that of the
// metadata, nil if there was no answer.
func (d *Directory) fetch(ctx context.Context, resource string) (*Site, http.Header, error) {
	url, err := protocol.MetadataURL(resource)
	if err != nil {
		return nil, nil, err
	}
	data, header, err := guard.Fetch(ctx, d.cfg.Client, url, protocol.MaxMetadataBytes)
	if err != nil {
		return nil, header, err
	}
	m, err := protocol.ParseSiteMetadata(data, resource)
	if err != nil {
		return nil, header, fmt.Errorf("%s: %w", url, err)
	}
	site := &Site{SiteMetadata: *m, FetchedAt: d.cfg.Now()}
	data, _, err = guard.Fetch(ctx, d.cfg.Client, m.JWKSURI, protocol.MaxMetadataBytes)
	if err != nil {
		return site, header, err
	}
	if site.Keys, err = protocol.ParseJWKS(data); err != nil {
		return site, header, fmt.Errorf("%s: %w", m.JWKSURI, err)
	}
	return site, header, nil
}
