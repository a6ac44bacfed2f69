// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

const (
	rsaBits     = 2048
	rsaLabel    = "COMITY ID-TOKEN PRIVATE KEY" // PKCS #8
	maxRSAFile  = 4096
	typeIDToken = "JWT"
)

// idKeys sign ID tokens: one RSA key for OpenID Connect clients that know
// nothing else, and for the others the token key. The RSA key is in no record:
// no site relies on it. It is made when it is first asked for, since most
// brokers never need one and it takes longer than the start of all else.
type idKeys struct {
	path  string
	token func() registry.SigningKey

	mu   sync.Mutex
	made *rsaSigner // guarded by mu; nil: not yet
}

type rsaSigner struct {
	signer jose.Signer
	public json.RawMessage // a JWK
}

// openIDKeys reads the RSA key where there is one.
func openIDKeys(dir string, token func() registry.SigningKey) (*idKeys, error) {
	k := &idKeys{path: filepath.Join(dir, "id-token.pem"), token: token}
	key, err := readRSA(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		k.made, err = newRSASigner(key)
	}
	return k, err
}

// rsa returns the RSA key, which it makes where there is none: clients fetch
// its public half, so that a new one costs them a request.
func (k *idKeys) rsa() (*rsaSigner, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.made != nil {
		return k.made, nil
	}
	key, err := createRSA(k.path)
	if err == nil {
		k.made, err = newRSASigner(key)
	}
	return k.made, err
}

func newRSASigner(key *rsa.PrivateKey) (*rsaSigner, error) {
	public := jose.JSONWebKey{Key: &key.PublicKey, Algorithm: string(jose.RS256), Use: "sig"}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("key of ID tokens: %w", err)
	}
	public.KeyID = jws.Base64.EncodeToString(sum)
	shown, err := json.Marshal(public)
	if err != nil {
		return nil, fmt.Errorf("key of ID tokens: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType(typeIDToken)
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: public.KeyID},
	}, options)
	return &rsaSigner{signer, shown}, err
}

func createRSA(path string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return key, durable.CreateSecret(path, pem.EncodeToMemory(&pem.Block{Type: rsaLabel, Bytes: der}))
}

func readRSA(path string) (*rsa.PrivateKey, error) {
	data, err := durable.ReadSecret(path, maxRSAFile)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block != nil && len(rest) == 0 && len(block.Headers) == 0 && block.Type == rsaLabel {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, ok := parsed.(*rsa.PrivateKey); err == nil && ok && key.N.BitLen() >= rsaBits {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is damaged, or another key: restore it from a backup, or remove it, and a new one is made", durable.ErrUnsafe, path)
}

// SignIDToken implements oauth.IDTokens.
func (k *idKeys) SignIDToken(alg string, claims []byte) (string, error) {
	if alg != string(jose.RS256) {
		return k.token().Sign(typeIDToken, claims), nil
	}
	key, err := k.rsa()
	if err != nil {
		return "", err
	}
	signed, err := key.signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign ID token: %w", err)
	}
	return signed.CompactSerialize()
}

// PublicKeys implements oauth.IDTokens.
func (k *idKeys) PublicKeys() ([]json.RawMessage, error) {
	key, err := k.rsa()
	if err != nil {
		return nil, err
	}
	return []json.RawMessage{key.public}, nil
}
