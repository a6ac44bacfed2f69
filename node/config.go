// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/comity-network/comity/registry"
)

// Config says how a node runs. The zero value of a field is its default.
type Config struct {
	DataDir          string
	Issuer           string         // default: http://127.0.0.1:8080
	Organisation     string         // who runs the broker, for people; default: the issuer's host
	Listen           string         // host:port; default: the issuer's on loopback, else 127.0.0.1:8080
	Store            string         // sqlite:PATH; default: comity.db in DataDir
	TLSCert          string         // PEM files; both or none
	TLSKey           string         //
	TrustedProxies   []netip.Prefix // whose X-Forwarded-For is believed
	ListedSites      bool           // serve only sites that the operator allowed
	SAMLProviders    []string       // files: metadata of identity providers whose SAML assertions are grants
	JWTIssuers       []string       // files: issuers whose JWTs are grants; see readIssuers
	PasswordGrant    bool           // apps that are registered for it may send passwords
	OpenRegistration bool           // anybody may register a client that is known here alone
	AllowPrivate     bool           // development: sites and brokers on private and loopback addresses, by http
	P2P              []string       // multiaddrs for the other members, TCP and QUIC; default: see p2p.go
	P2PAnnounce      []string       // what the others are told instead of P2P, where an address is translated
	Join             string         // issuer of a member of the federation to join; "": found one
	Log              *slog.Logger
	Now              func() time.Time
}

// DefaultIssuer is the issuer of a node that was told none.
const DefaultIssuer = "http://127.0.0.1:8080"

// complete fills defaults and refuses what cannot work.
func (c Config) complete() (Config, error) {
	if c.Issuer == "" {
		c.Issuer = DefaultIssuer
	}
	if err := registry.CheckIssuer(c.Issuer); err != nil {
		return c, fmt.Errorf("issuer: %w", err)
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return c, fmt.Errorf("issuer: %w", err)
	}
	if c.Organisation == "" {
		c.Organisation = issuer.Hostname()
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
		if issuer.Scheme == "http" {
			c.Listen = issuer.Host
		}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c, fmt.Errorf("--listen %q is not host:port, such as 127.0.0.1:8080", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return c, fmt.Errorf("--tls-cert and --tls-key belong together: name both")
	}
	if c.TLSCert != "" && issuer.Scheme != "https" {
		return c, fmt.Errorf("with --tls-cert the issuer must begin with https: %s does not", c.Issuer)
	}
	if c.Store == "" {
		c.Store = "sqlite:" + filepath.Join(c.DataDir, "comity.db")
	}
	if c.Join != "" {
		if err := registry.CheckIssuer(c.Join); err != nil {
			return c, fmt.Errorf("--join: %w", err)
		}
		if c.Join == c.Issuer {
			return c, fmt.Errorf("--join %s is this broker itself: name another member of the federation", c.Join)
		}
	}
	path, ok := strings.CutPrefix(c.Store, "sqlite:")
	if !ok || path == "" {
		return c, fmt.Errorf("--store %q: this version stores in SQLite, written sqlite:PATH", c.Store)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// local reports whether the issuer is on this machine's loopback address.
func (c Config) local() bool {
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(issuer.Hostname())
	return err == nil && address.IsLoopback()
}

// reachesPrivate reports whether other brokers on private addresses may be
// contacted. A broker that is itself on loopback has no others.
func (c Config) reachesPrivate() bool { return c.AllowPrivate || c.local() }

func (c Config) storePath() string { return strings.TrimPrefix(c.Store, "sqlite:") }
