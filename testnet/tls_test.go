// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/process"
)

// certificate writes a certificate for an address, which is its own authority,
// and its key.
func certificate(t *testing.T, dir, address string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certFile, keyFile, pool
}

// TestTLS: a broker with a certificate serves https, and one whose certificate
// is for another name does not start. fault 78
func TestTLS(t *testing.T) {
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, pool := certificate(t, t.TempDir(), "127.0.0.1")
	w := newWorldWith(t, process.Config{
		Issuer: "https://" + address, Env: []string{"SSL_CERT_FILE=" + certFile},
		Args: []string{"--listen", address, "--tls-cert", certFile, "--tls-key", keyFile},
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(w.broker.Issuer + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.TLS == nil {
		t.Errorf("status %d, TLS %v", res.StatusCode, res.TLS != nil)
	}

	certFile, keyFile, _ = certificate(t, t.TempDir(), "127.0.0.2")
	if address, err = process.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	said := w.startError(process.Config{
		Dir: filepath.Join(t.TempDir(), "other"), Issuer: "https://" + address, Env: []string{"SSL_CERT_FILE=" + certFile},
		Args: []string{"--listen", address, "--tls-cert", certFile, "--tls-key", keyFile},
	})
	wantText(t, said, "--tls-cert", address)
}
