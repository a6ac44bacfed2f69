// SPDX-License-Identifier: Apache-2.0

package sites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Report says what is wrong with a site.
type Report struct {
	Resource    string    `json:"resource"`
	MetadataURL string    `json:"metadata_url,omitempty"`
	Keys        []string  `json:"keys,omitempty"` // kid of each
	Findings    []Finding `json:"findings"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) add(problem, remedy string) {
	r.Findings = append(r.Findings, Finding{problem, remedy})
}

// Check fetches a site as if it was met for the first time and reports
// everything that would keep a login from working. It changes nothing.
func (d *Directory) Check(ctx context.Context, resource string) Report {
	r := Report{Resource: resource, Findings: []Finding{}}
	url, err := protocol.MetadataURL(resource)
	if err != nil {
		r.add(err.Error(), "give the site's resource identifier exactly as its metadata do, for example https://wiki.example")
		return r
	}
	r.MetadataURL = url
	if err := d.Permitted(ctx, resource); err != nil {
		r.add(err.Error(), "run: comity site allow "+resource)
	}
	site, header, err := d.fetch(ctx, resource)
	if err != nil {
		r.add(err.Error(), remedy(err))
	}
	r.checkClock(header, d.cfg.Now())
	if site == nil {
		return r
	}
	for kid := range site.Keys {
		r.Keys = append(r.Keys, kid)
	}
	if !site.Delegates(d.cfg.Issuer) {
		r.add("authorization_servers do not name this broker", "add "+d.cfg.Issuer+" to authorization_servers, exactly so")
	}
	if ours := d.cfg.Federation(); site.Federation != ours {
		r.add("comity_federation names another federation: "+site.Federation, "set comity_federation to "+ours)
	}
	d.checkEvents(ctx, &r, site.EventsEndpoint)
	return r
}

// remedy says what to do about an error of fetch.
func remedy(err error) string {
	switch {
	case errors.Is(err, guard.ErrRefused):
		return "the site must be on the public internet, with https on port 443 or 8443; " +
			"for development start the broker with --allow-private-addresses"
	case errors.Is(err, guard.ErrRedirect):
		return "serve the document at exactly this address, without a redirect; " +
			"if the site has moved, use its new address as the resource everywhere"
	case errors.Is(err, guard.ErrTooLong):
		return fmt.Sprintf("shorten the document to %d bytes", protocol.MaxMetadataBytes)
	case errors.Is(err, registry.ErrForm):
		return "correct the document; docs/spec/site-metadata.md has a complete example"
	}
	return "make the address answer with status 200 and JSON within 3 s, with a certificate that browsers accept"
}

// checkClock compares the clocks (fault 44): codes live for a minute only.
func (r *Report) checkClock(header http.Header, now time.Time) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	if diff := date.Sub(now).Round(time.Second); diff.Abs() > protocol.Skew {
		r.add(fmt.Sprintf("the clocks differ: the site's is %s ahead of this broker's", diff),
			"set the clocks of both by NTP; they may differ by 10 s")
	}
}

// checkEvents sends what no site can accept and expects to be told so.
func (d *Directory) checkEvents(ctx context.Context, r *Report, endpoint string) {
	if endpoint == "" {
		r.add("there is no comity_events_endpoint", "add it, or the site must ask by introspection; "+
			"tokens without a grant then need comity_direct_grants, see docs/spec/site-metadata.md")
		return
	}
	if err := d.probe(ctx, endpoint); err != nil {
		r.add(fmt.Sprintf("comity_events_endpoint does not take events: %v", err),
			`the endpoint must answer a wrong event with status 400 and {"err":"invalid_request"}`)
	}
}

func (d *Directory) probe(ctx context.Context, endpoint string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader([]byte("not an event")))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Accept", "application/json")
	resp, err := d.cfg.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := guard.ReadLimited(resp.Body, protocol.MaxAnswerBytes)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("the answer to a wrong event is %s", resp.Status)
	}
	_, err = protocol.ParsePushError(body)
	return err
}
