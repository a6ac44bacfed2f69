// SPDX-License-Identifier: Apache-2.0

package jws

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/comity-network/comity/internal/strictjson"
)

// headerLimits are far above every header in use: a DPoP proof with an RSA key
// has three members and seven values.
var headerLimits = strictjson.Limits{Values: 64, Members: 16}

// Header is the protected header.
type Header struct {
	Algorithm string
	KeyID     string
	Type      string
	Key       *jose.JSONWebKey // only with Rules.EmbedKey: a valid public key
}

// forbidden header members name keys or change how the message is read.
var forbidden = []string{"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "p2c", "p2s"}

func parseHeader(data []byte, rules Rules) (Header, error) {
	if h, ok := plainHeader(string(data), rules); ok {
		return h, nil
	}
	members, err := strictjson.Object(data, headerLimits)
	if err != nil {
		return Header{}, err
	}
	var h Header
	// typ is decided before anything else, then alg; the key comes last.
	if h.Type, err = headerString(members, "typ"); err != nil {
		return Header{}, err
	}
	if !slices.Contains(rules.Types, h.Type) {
		return Header{}, refuse(Typ, "typ is %.60q, expected %q", h.Type, strings.Join(rules.Types, `" or "`))
	}
	if h.Algorithm, err = headerString(members, "alg"); err != nil {
		return Header{}, err
	}
	if !slices.Contains(rules.Algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return Header{}, refuse(Alg, "alg %.60q is not accepted", h.Algorithm)
	}
	for _, m := range members {
		if !allowed(m.Name, rules) {
			return Header{}, refuse(InHeader, "header member %.60q is not allowed here", m.Name)
		}
	}
	if rules.EmbedKey {
		h.Key, err = headerKey(members)
		return h, err
	}
	h.KeyID, err = headerString(members, "kid")
	return h, err
}

// plainHeader reads a header that is byte for byte as Sign makes it. Nearly all
// are, and a database is read through here: parsing JSON takes twenty times as
// long. Any other header, good or bad, is parseHeader's to judge.
func plainHeader(data string, rules Rules) (Header, bool) {
	rest, ok := strings.CutPrefix(data, `{"alg":"EdDSA","kid":"`)
	if !ok || rules.EmbedKey || !slices.Contains(rules.Algorithms, jose.EdDSA) {
		return Header{}, false
	}
	kid, rest, ok := strings.Cut(rest, `","typ":"`)
	typ, end := strings.CutSuffix(rest, `"}`)
	if !ok || !end || kid == "" || strings.Trim(kid, base64Alphabet) != "" || !slices.Contains(rules.Types, typ) || strings.ContainsAny(typ, `"\\`) {
		return Header{}, false
	}
	return Header{Type: typ, Algorithm: string(jose.EdDSA), KeyID: kid}, true
}

// base64Alphabet needs no escaping in JSON.
const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func allowed(name string, rules Rules) bool {
	switch name {
	case "alg", "typ":
		return true
	case "kid":
		return !rules.EmbedKey
	case "jwk":
		return rules.EmbedKey
	}
	return rules.Foreign && !slices.Contains(forbidden, name)
}

// headerString returns "" when the member is absent. A member that is there
// and empty is refused, so that the two cannot be confused.
func headerString(members []strictjson.Member, name string) (string, error) {
	for _, m := range members {
		if m.Name != name {
			continue
		}
		var s string
		if err := json.Unmarshal(m.Value, &s); err != nil || s == "" {
			return "", refuse(InHeader, "header member %q is not a string with content", name)
		}
		return s, nil
	}
	return "", nil
}

func headerKey(members []strictjson.Member) (*jose.JSONWebKey, error) {
	for _, m := range members {
		if m.Name != "jwk" {
			continue
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(m.Value); err != nil || !key.Valid() || !key.IsPublic() {
			return nil, refuse(EmbeddedKey, "jwk in the header is not a valid public key")
		}
		return &key, nil
	}
	return nil, refuse(EmbeddedKey, "header has no jwk")
}
