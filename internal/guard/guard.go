// SPDX-License-Identifier: Apache-2.0

// Package guard makes the one HTTP client for addresses that somebody else
// chose: sites, and brokers that ask for membership. What it promises:
//
//   - The address is judged when it is dialled, after it was resolved, so that
//     a name cannot mean one thing when it is checked and another when it is
//     used. Only addresses of the public internet pass, by the IANA special
//     purpose registries; never the machine's own (Config.Own).
//   - https only, on the ports 443 and 8443 (Config.Ports), verified by the system's roots.
//   - No redirect is followed, no proxy is asked, no cookie is kept, no
//     environment variable is read.
//   - An exchange takes 3 s at most, from the look-up of the name to the last
//     byte of the body. Headers end at 16 KiB, bodies where the caller says
//     ([ReadLimited]). Nothing is decompressed, so no small answer becomes a
//     large one.
//   - At most 32 connections to one host, so that a host that keeps them all
//     waiting blocks only itself.
//
// Config.AllowPrivate is for development, and for a federation inside one
// network: loopback and private addresses are reached too, on any port, and
// plain http to those alone. Link-local addresses, where clouds keep their
// secrets, stay closed.
//
// It trusts the resolver for nothing but availability, and the other side for
// nothing at all.
package guard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"code.dny.dev/ssrf"
)

// Timeout bounds one exchange, from the look-up of the name to the last byte.
const Timeout = 3 * time.Second

const (
	maxHeaderBytes  = 16 << 10
	maxConnsPerHost = 32
	maxIdle         = 256
	maxIdlePerHost  = maxConnsPerHost // else those that are many at a time are dialled again and again
	idleTimeout     = 60 * time.Second
	minTLSVersion   = tls.VersionTLS12
	userAgent       = "comity"
)

// defaultPorts are where public sites are.
var defaultPorts = []uint16{443, 8443}

// Errors of the client, wrapped in what http.Client makes of them.
var (
	// ErrRefused: the scheme, address or port is not one that the client may
	// reach. No byte was sent.
	ErrRefused = errors.New("address refused")
	// ErrRedirect: the answer was a redirect.
	ErrRedirect = errors.New("redirects are not followed")
	// ErrTooLong: a body is longer than allowed.
	ErrTooLong = errors.New("too long")
)

// Config of a client. The zero value is what a public broker needs, but for
// Own.
type Config struct {
	// AllowPrivate opens loopback and private addresses, see the package
	// comment.
	AllowPrivate bool
	// Own are further addresses to refuse: those of this machine, see
	// OwnAddresses. AllowPrivate opens them too.
	Own []netip.Prefix
	// Ports that may be reached; nil: 443 and 8443. AllowPrivate opens all.
	Ports []uint16
	// Timeout of one exchange; 0: the constant Timeout.
	Timeout time.Duration
	// Roots verify certificates; nil: those of the system.
	Roots *x509.CertPool
	// Resolver looks up names; nil: the system's.
	Resolver *net.Resolver
}

// New makes a client. It is safe for concurrent use, and one for all keeps the
// bounds.
func New(c Config) *http.Client {
	if c.Timeout == 0 {
		c.Timeout = Timeout
	}
	if c.Ports == nil {
		c.Ports = defaultPorts
	}
	t := &transport{secure: c.transport(c.guardian())}
	if c.AllowPrivate {
		t.plain = c.transport(localOnly())
	}
	return &http.Client{
		Transport:     t,
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return ErrRedirect },
	}
}

func (c Config) transport(g *ssrf.Guardian) *http.Transport {
	dialer := &net.Dialer{
		Timeout:  c.Timeout,
		Resolver: c.Resolver,
		Control:  control(g),
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: minTLSVersion, RootCAs: c.Roots},
		TLSHandshakeTimeout:    c.Timeout,
		ResponseHeaderTimeout:  c.Timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		MaxConnsPerHost:        maxConnsPerHost,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
	}
}

// transport chooses by scheme.
type transport struct {
	secure *http.Transport // https
	plain  *http.Transport // http, to local addresses only; nil: not at all
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Scheme == "https":
		return t.secure.RoundTrip(r)
	case r.URL.Scheme == "http" && t.plain != nil:
		return t.plain.RoundTrip(r)
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, fmt.Errorf("%w: scheme %q", ErrRefused, r.URL.Scheme)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections do its work.
func (t *transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	if t.plain != nil {
		t.plain.CloseIdleConnections()
	}
}
