// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net/netip"

	"github.com/alecthomas/kong"

	"github.com/comity-network/comity/node"
)

type runCmd struct {
	Issuer                string          `placeholder:"URL" help:"The broker's name and base URL. https, or http on 127.0.0.1. It cannot change later. Default: http://127.0.0.1:8080."`
	Organisation          string          `placeholder:"NAME" help:"Who runs this broker, as people know it. Default: the issuer's host."`
	Listen                string          `placeholder:"ADDR" help:"Where to listen, host:port. Default: the issuer's own where it is on loopback, else 127.0.0.1:8080."`
	P2P                   []string        `name:"p2p" placeholder:"MULTIADDR" sep:"none" help:"Where to listen for the other members, TCP or QUIC; repeat for more. Default: port 4001 of all addresses, TCP and QUIC; on loopback a free port that stays the same."`
	P2PAnnounce           []string        `name:"p2p-announce" placeholder:"MULTIADDR" sep:"none" help:"What the other members are told instead, where a router translates addresses; repeat for more."`
	Join                  *string         `placeholder:"URL" help:"Ask the broker with that issuer for membership in its federation, and wait. A member starts as if it were not there."`
	Store                 string          `placeholder:"sqlite:PATH" help:"The database. Default: comity.db in the data directory."`
	TLSCert               string          `name:"tls-cert" type:"path" placeholder:"FILE" help:"Certificate chain, PEM. It is read again when it changes."`
	TLSKey                string          `name:"tls-key" type:"path" placeholder:"FILE" help:"Its private key, PEM."`
	TrustedProxy          []string        `placeholder:"CIDR" help:"Proxies whose X-Forwarded-For is believed; repeat for more. Nothing else of a proxy's headers is used."`
	Sites                 string          `enum:"open,listed" default:"open" help:"Which sites are served: open (any that names this broker) or listed (those of comity site allow)."`
	SAMLIDP               []string        `name:"saml-idp" type:"path" placeholder:"FILE" sep:"none" help:"Metadata of a SAML identity provider whose assertions are taken as grants (RFC 7522); repeat for more."`
	JWTIssuer             []string        `name:"jwt-issuer" type:"path" placeholder:"FILE" sep:"none" help:"An issuer whose JWTs are taken as grants (RFC 7523), as {\"issuer\":…,\"jwks\":{…}}; repeat for more."`
	PasswordGrant         bool            `help:"Let apps that are registered for it send people's passwords. RFC 9700 forbids it; each use is in the audit log."`
	OpenRegistration      bool            `help:"Let anybody register an app that is known at this broker alone, for 30 days, and may ask who logs in here (RFC 7591). Without it, registration takes a token of comity app token."`
	AllowPrivateAddresses bool            `help:"Development: reach sites and brokers on loopback and private addresses, and by http."`
	Config                kong.ConfigFlag `placeholder:"FILE" help:"Configuration file (TOML): the same options with _ for -; the command line wins. An unknown key is an error."`
}

func (runCmd) Help() string {
	return `The first start makes the keys, founds a federation of one and begins a log. When the node serves, it prints one line that starts with "ready"; from then on it logs to stderr, one JSON object a line, and never a token or a secret.

  comity run                                              # on this machine
  comity run --issuer https://auth.example.org --listen :443 \
      --tls-cert fullchain.pem --tls-key privkey.pem      # on the internet
  comity run --issuer https://auth.example.org --trusted-proxy 127.0.0.1/32
                                                          # behind a proxy that does TLS
  comity run --issuer https://auth.example.net --join https://auth.example.org
                                                          # into a federation

With --join the first start founds nothing: the node asks a member of that federation, and acts for nobody until it is admitted.

Ctrl-C lets running requests finish and stops. One data directory belongs to one process.`
}

func (c runCmd) Run(e *environment) error {
	proxies, err := parseProxies(c.TrustedProxy)
	if err != nil {
		return usageError{err}
	}
	join := ""
	if c.Join != nil {
		if join = *c.Join; join == "" {
			return usageError{errors.New("--join is empty: name the issuer of a member, or leave it out")}
		}
	}
	if err := noCoreDump(); err != nil {
		return err
	}
	// The HTTP client of the standard library writes what a site sends out of
	// turn to the standard log: foreign bytes, of no use to anybody.
	stdlog.SetOutput(io.Discard)
	log := slog.New(slog.NewJSONHandler(e.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	n, err := node.Open(e.ctx, node.Config{
		DataDir: e.data, Issuer: c.Issuer, Organisation: c.Organisation,
		Listen: c.Listen, Store: c.Store, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		TrustedProxies: proxies, ListedSites: c.Sites == "listed",
		SAMLProviders: c.SAMLIDP, JWTIssuers: c.JWTIssuer, PasswordGrant: c.PasswordGrant, OpenRegistration: c.OpenRegistration,
		AllowPrivate: c.AllowPrivateAddresses, P2P: c.P2P, P2PAnnounce: c.P2PAnnounce, Join: join, Log: log,
	})
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Run(e.ctx, func(r node.Ready) {
		fmt.Fprintf(e.out, "ready issuer=%s peer=%s federation=%s%s\n", r.Issuer, r.PeerID, r.Federation, joining(r))
	})
}

// joining marks the ready line of a node that still waits for its admission.
func joining(r node.Ready) string {
	if r.Joining {
		return " state=waiting"
	}
	return ""
}

func parseProxies(cidrs []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range cidrs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("--trusted-proxy %q is neither an address nor a network such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
