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
	DataDir        string
	Issuer         string         // default: http://127.0.0.1:8080
	Organisation   string         // who runs the broker, for people; default: the issuer's host
	Listen         string         // host:port; default: the issuer's on loopback, else 127.0.0.1:8080
	Store          string         // sqlite:PATH; default: comity.db in DataDir
	TLSCert        string         // PEM files; both or none
	TLSKey         string         //
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	ListedSites    bool           // serve only sites that the operator allowed
	AllowPrivate   bool           // development: sites on private and loopback addresses, by http
	Log            *slog.Logger
	Now            func() time.Time
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

func (c Config) storePath() string { return strings.TrimPrefix(c.Store, "sqlite:") }
