// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/comity-network/comity/internal/guard"
)

// site is what a discovery has found. It is not changed.
type site struct {
	endpoint *url.URL // takes connection requests
	apiRoot  string   // of the API index; empty: the site named none
	data     *siteData
}

// name of the site in the store: its API index, or where there is none its
// endpoint.
func (f *site) name() string {
	if f.apiRoot == "" {
		return f.endpoint.String()
	}
	return f.apiRoot
}

// resource is the identifier of the site's home as a resource, if it is of the
// same origin as the endpoint, and otherwise that origin: a site does not
// speak for another one.
func (f *site) resource() string {
	if f.data != nil {
		if r := f.data.resource(); r != "" {
			if u, err := url.Parse(r); err == nil && origin(u) == origin(f.endpoint) {
				return r
			}
		}
	}
	return origin(f.endpoint)
}

// discover finds the endpoint of the site with that URL, from memory if it was
// found in the last 24 hours.
func (s *Server) discover(ctx context.Context, server string) (*site, error) {
	if found, ok := s.found.lookup(server); ok {
		return found, nil
	}
	u, err := checkURL(server, nil)
	if err != nil {
		return nil, invalidRequest("server_url cannot be used: %v", err)
	}
	leave, err := s.discoveries.enter(ctx, origin(u), "connects to this site")
	if err != nil {
		return nil, err
	}
	defer leave()
	if found, ok := s.found.lookup(server); ok { // somebody has found it meanwhile
		return found, nil
	}
	found, err := s.look(ctx, u)
	if err != nil {
		return nil, err
	}
	s.found.keep(server, found)
	return found, nil
}

func (s *Server) look(ctx context.Context, server *url.URL) (*site, error) {
	header, at, err := s.head(ctx, server)
	if err != nil {
		return nil, err
	}
	target, linked := findLink(header.Values("Link"), relAPI)
	isEndpoint := header.Get("X-BA-Endpoint") == "connection-request"
	if !linked && !isEndpoint {
		return nil, siteUnusable("%s names no API index (Link header with rel=\"%s\"): is it the address of the site, and its REST API on?", at, relAPI)
	}
	var index *url.URL
	if linked {
		if index, err = checkURL(target, at); err != nil {
			return nil, siteUnusable("the API index that %s names cannot be used: %v; the site's owner corrects its Link header", at, err)
		}
	}
	if isEndpoint {
		found := &site{endpoint: at}
		if linked {
			found.apiRoot = index.String()
		}
		return found, nil
	}
	return s.readIndex(ctx, index)
}

func (s *Server) readIndex(ctx context.Context, index *url.URL) (*site, error) {
	body, _, err := guard.Fetch(ctx, s.discovery, withFields(index), maxIndexBytes)
	if err != nil {
		return nil, unreached(ctx, "the site's API index", err)
	}
	data, broker, err := parseIndex(body)
	if errors.Is(err, errNoBroker) {
		return nil, siteUnusable("%v", err)
	}
	if err != nil {
		return nil, siteUnusable("the site's API index %s cannot be used: %v; the site's owner looks for a plugin that changes it", index, err)
	}
	endpoint, err := checkURL(broker, index)
	if err == nil && broker[0] == '/' {
		err = errors.New("not an absolute URL")
	}
	if err != nil {
		return nil, siteUnusable("the endpoint in authentication.broker of %s cannot be used: %v; the site's owner corrects the site's address", index, err)
	}
	return &site{endpoint: endpoint, apiRoot: index.String(), data: &data}, nil
}

// withFields asks for the members that are read, so that sites that know
// _fields send 500 bytes. The query that the index may have stays as it is.
func withFields(index *url.URL) string {
	const fields = "_fields=authentication,namespaces,name,description,url,home"
	u := *index
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += fields
	return u.String()
}

// head asks for the headers of a page, and follows redirects: each is a new
// request through the guarded client. It returns where it arrived.
func (s *Server) head(ctx context.Context, at *url.URL) (http.Header, *url.URL, error) {
	for range maxRedirects + 1 {
		r, err := http.NewRequestWithContext(ctx, http.MethodHead, at.String(), nil)
		if err != nil {
			return nil, nil, invalidRequest("server_url cannot be used: not a URL")
		}
		r.Header.Set("User-Agent", userAgent)
		resp, err := s.discovery.Do(r)
		if err != nil {
			return nil, nil, unreached(ctx, "the site", err)
		}
		resp.Body.Close()
		location := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || location == "" {
			return resp.Header, at, nil
		}
		if at, err = checkURL(location, at); err != nil {
			return nil, nil, siteUnusable("the site redirects to where a broker does not follow: %v", err)
		}
	}
	return nil, nil, siteUnusable("the site redirects more than %d times: use the address at the end", maxRedirects)
}

// unreached says why a request to a site failed. What the network said is not
// passed on: it could tell strangers about addresses inside.
func unreached(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, guard.ErrRefused):
		return siteUnusable("%s is at an address that this broker does not reach: sites have public addresses and https on port 443 or 8443", what)
	case errors.Is(err, guard.ErrTooLong):
		return siteUnusable("%s is too long: more than %d bytes; the site's owner looks for a plugin that changes it", what, maxIndexBytes)
	case errors.As(err, &timeout) && timeout.Timeout():
		return siteUnusable("%s did not answer in time; its owner looks why it is slow", what)
	}
	return siteUnusable("%s does not answer as it should: its owner opens it in a browser, and looks at its certificate", what)
}
