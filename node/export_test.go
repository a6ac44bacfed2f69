// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ed25519"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
)

// ClientAddress is clientAddress, for tests.
func ClientAddress(trusted []netip.Prefix, next http.Handler) http.Handler {
	return clientAddress(trusted, next)
}

// CertificateName returns what tells the name in the certificate that is
// served right now.
func CertificateName(cert, key string) (func() string, error) {
	c, err := newCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return func() string {
		pair, err := c.get(nil)
		if err != nil {
			return err.Error()
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			return err.Error()
		}
		return leaf.DNSNames[0]
	}, nil
}

// RecordKey is the public key of the node's log.
func (n *Node) RecordKey() (ed25519.PublicKey, bool) {
	return n.replica.Chain().CurrentKey(n.cfg.Issuer)
}
