// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
)

// fault 78: an issuer that cannot be right refuses the start, with one line
// that says what to do.
func TestFault78IssuerAtOpen(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*node.Config)
		want   string
	}{
		"plain http on a name":    {func(c *node.Config) { c.Issuer = "http://auth.example.org" }, "use https"},
		"plain http on localhost": {func(c *node.Config) { c.Issuer = "http://localhost:8080" }, "127.0.0.1"},
		"with a query":            {func(c *node.Config) { c.Issuer = "https://auth.example.org/?a=b" }, "no query"},
		"with a slash at the end": {func(c *node.Config) { c.Issuer = "https://auth.example.org/" }, "slash"},
		"not a URL":               {func(c *node.Config) { c.Issuer = "auth.example.org" }, "https://"},
		"a certificate for http":  {func(c *node.Config) { c.TLSCert, c.TLSKey = "a", "b" }, "https"},
		"half a certificate":      {func(c *node.Config) { c.TLSCert = "a" }, "belong together"},
		"no certificate file": {func(c *node.Config) {
			c.Issuer, c.TLSCert, c.TLSKey = "https://auth.example.org", "/absent/cert.pem", "/absent/key.pem"
		}, "/absent/cert.pem"},
		"another database": {func(c *node.Config) { c.Store = "mysql://x" }, "sqlite:PATH"},
		"no port":          {func(c *node.Config) { c.Listen = "127.0.0.1" }, "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			test.change(&cfg)
			n, err := node.Open(t.Context(), cfg)
			if err == nil {
				n.Close()
				t.Fatal("the node opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v does not say %q", err, test.want)
			}
		})
	}
}

func TestFault78IssuerChanged(t *testing.T) {
	cfg := config(t)
	n, err := node.Open(t.Context(), cfg)
	check(t, err)
	check(t, n.Close())
	was := cfg.Issuer
	cfg.Issuer = freeIssuer(t)
	n, err = node.Open(t.Context(), cfg)
	if err == nil {
		n.Close()
		t.Fatal("the node took another issuer")
	}
	if !strings.Contains(err.Error(), was) || !strings.Contains(err.Error(), cfg.Issuer) {
		t.Fatalf("the error names not both: %v", err)
	}
}

// fault 78: the issuer's URL leads to another server.
func TestFault78IssuerLeadsElsewhere(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	cfg := config(t)
	cfg.Issuer, cfg.Listen = other.URL, "127.0.0.1:0"
	wantNotReady(t, cfg, "leads to something else")
}

// fault 78: the certificate is for another name, or nobody trusts it.
func TestFault78WrongCertificate(t *testing.T) {
	cfg := config(t)
	cfg.Issuer = strings.Replace(cfg.Issuer, "http://", "https://", 1)
	cfg.Listen = strings.TrimPrefix(cfg.Issuer, "https://")
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, t.TempDir(), "auth.example.org")
	wantNotReady(t, cfg, "certificate")
}

func wantNotReady(t *testing.T, cfg node.Config, want string) {
	t.Helper()
	n, err := node.Open(t.Context(), cfg)
	check(t, err)
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = n.Run(ctx, func(node.Ready) { t.Error("the node says that it is ready") })
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("Run: %v; expected an error that says %q", err, want)
	}
}

// writeCertificate makes a self-signed certificate.
func writeCertificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	check(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

// A renewed certificate is served without a restart; a broken one is not.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "one.example")
	serve, err := node.CertificateName(cert, key)
	check(t, err)
	if got := serve(); got != "one.example" {
		t.Fatalf("serves %s", got)
	}
	writeCertificate(t, dir, "two.example")
	later := time.Now().Add(time.Minute)
	check(t, os.Chtimes(cert, later, later))
	if got := serve(); got != "two.example" {
		t.Fatalf("after the renewal it serves %s", got)
	}
	check(t, os.WriteFile(cert, []byte("half a certif"), 0o600))
	if got := serve(); got != "two.example" {
		t.Fatalf("with a broken file it serves %s", got)
	}
}

// fault 23, the part of X-Forwarded-For: only trusted proxies are believed,
// from the right end.
func TestFault23ForwardedFor(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, test := range map[string]struct {
		remote string
		header []string
		want   string
	}{
		"no proxy, no header":      {"192.0.2.1:5", nil, "192.0.2.1"},
		"stranger with a header":   {"192.0.2.1:5", []string{"203.0.113.9"}, "192.0.2.1"},
		"proxy":                    {"10.1.1.1:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"proxy over IPv6":          {"[::1]:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"client forges the left":   {"10.1.1.1:5", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"client forges a header":   {"10.1.1.1:5", []string{"127.0.0.1", "203.0.113.9"}, "203.0.113.9"},
		"two proxies":              {"10.1.1.1:5", []string{"203.0.113.9, 10.2.2.2"}, "203.0.113.9"},
		"proxy without a header":   {"10.1.1.1:5", nil, "10.1.1.1"},
		"proxy with nonsense":      {"10.1.1.1:5", []string{"unknown"}, "10.1.1.1"},
		"nonsense behind a proxy":  {"10.1.1.1:5", []string{"x, 10.2.2.2"}, "10.2.2.2"},
		"IPv4 in IPv6 as a proxy":  {"[::ffff:10.1.1.1]:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"header with a port is no": {"10.1.1.1:5", []string{"203.0.113.9:80"}, "10.1.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			h := node.ClientAddress(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = test.remote
			for _, v := range test.header {
				r.Header.Add("X-Forwarded-For", v)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if host, _, _ := net.SplitHostPort(got); host != test.want {
				t.Fatalf("address %s, expected %s", got, test.want)
			}
		})
	}
}
