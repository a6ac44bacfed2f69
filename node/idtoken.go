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

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

const (
	rsaBits      = 2048
	rsaLabel     = "COMITY ID-TOKEN PRIVATE KEY" // PKCS #8
	maxRSAFile   = 4096
	typeIDToken  = "JWT"
	algIDDefault = "RS256"
)

// idKeys sign ID tokens: one RSA key for OpenID Connect clients that know
// nothing else, and for the others the token key. The RSA key is in no record:
// no site relies on it.
type idKeys struct {
	key    *rsa.PrivateKey
	public jose.JSONWebKey
	signer jose.Signer
	token  func() registry.SigningKey
}

// openIDKeys reads the RSA key, or makes one where there is none: clients fetch
// its public half, so that a new one costs them a request.
func openIDKeys(path string, token func() registry.SigningKey) (*idKeys, error) {
	key, err := readRSA(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err = createRSA(path)
	}
	if err != nil {
		return nil, err
	}
	k := &idKeys{key: key, token: token}
	k.public = jose.JSONWebKey{Key: &key.PublicKey, Algorithm: algIDDefault, Use: "sig"}
	sum, err := k.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.public.KeyID = jws.Base64.EncodeToString(sum)
	options := (&jose.SignerOptions{}).WithType(typeIDToken)
	k.signer, err = jose.NewSigner(jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: k.public.KeyID},
	}, options)
	return k, err
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
	if alg != algIDDefault {
		return k.token().Sign(typeIDToken, claims), nil
	}
	signed, err := k.signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign ID token: %w", err)
	}
	return signed.CompactSerialize()
}

// PublicKeys implements oauth.IDTokens.
func (k *idKeys) PublicKeys() []json.RawMessage {
	key, err := json.Marshal(k.public)
	if err != nil {
		return nil // a key that was marshalled before: its thumbprint is known
	}
	return []json.RawMessage{key}
}
