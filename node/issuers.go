// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"io"
	"os"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/saml"
	"github.com/comity-network/comity/registry"
)

// maxIssuerFile bounds the file of one trusted issuer, in bytes.
const maxIssuerFile = 64 << 10

// readIssuers reads the files of issuers whose JWTs say who somebody is (RFC
// 7523):
//
//	{"issuer":"https://login.example.org","jwks":{"keys":[…]}}
func readIssuers(paths []string) ([]oauth.JWTIssuer, error) {
	var all []oauth.JWTIssuer
	seen := map[string]string{}
	for _, path := range paths {
		issuer, err := readIssuer(path)
		if err != nil {
			return nil, fmt.Errorf("--jwt-issuer %s: %w", path, err)
		}
		if other := seen[issuer.Issuer]; other != "" {
			return nil, fmt.Errorf("--jwt-issuer %s: %s names the issuer %s too; put all its keys into one file", path, other, issuer.Issuer)
		}
		seen[issuer.Issuer] = path
		all = append(all, issuer)
	}
	return all, nil
}

func readIssuer(path string) (issuer oauth.JWTIssuer, err error) {
	f, err := os.Open(path)
	if err != nil {
		return issuer, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIssuerFile+1))
	if err != nil {
		return issuer, err
	}
	if len(data) > maxIssuerFile {
		return issuer, fmt.Errorf("more than %d bytes", maxIssuerFile)
	}
	var file struct {
		Issuer string           `json:"issuer"`
		Keys   *registry.JWKSet `json:"jwks"`
	}
	if err := strictjson.Unmarshal(data, &file); err != nil {
		return issuer, fmt.Errorf(`%w; expected {"issuer":"https://…","jwks":{"keys":[…]}}`, err)
	}
	if file.Issuer == "" || file.Keys == nil {
		return issuer, fmt.Errorf(`issuer or jwks is missing; expected {"issuer":"https://…","jwks":{"keys":[…]}}`)
	}
	if _, err := file.Keys.PublicKeys(); err != nil {
		return issuer, err
	}
	return oauth.JWTIssuer{Issuer: file.Issuer, Keys: file.Keys}, nil
}

// readProviders reads the metadata of SAML identity providers; nil without any.
func (n *Node) readProviders() (oauth.SAML, error) {
	if len(n.cfg.SAMLProviders) == 0 {
		return nil, nil
	}
	trust, err := saml.Load(n.cfg.SAMLProviders)
	if err != nil {
		return nil, fmt.Errorf("--saml-idp: %w", err)
	}
	if err := trust.Check(n.cfg.Now()); err != nil {
		n.log.Warn("a SAML identity provider cannot be used right now", "error", err)
	}
	return trust, nil
}
