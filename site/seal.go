// SPDX-License-Identifier: Apache-2.0

package site

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// Purposes of sealed values, so that none is ever taken for another.
const (
	sealResume  = "resume"  // an authorization request, while its user logs in
	sealConsent = "consent" // the form of the consent page
	sealEnd     = "end"     // the form that ends a grant
	sealNonce   = "nonce"   // a DPoP nonce
)

var errSeal = errors.New("not made by this site, or altered")

// mac authenticates payload for one purpose.
func (s *Site) mac(purpose, payload string) []byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(purpose + "\x00" + payload))
	return h.Sum(nil)
}

// seal makes a string that a browser may carry and cannot alter.
func (s *Site) seal(purpose string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	payload := jws.Base64.EncodeToString(data)
	return payload + "." + jws.Base64.EncodeToString(s.mac(purpose, payload))
}

// open reads such a string into v.
func (s *Site) open(purpose, sealed string, v any) error {
	payload, tag, ok := strings.Cut(sealed, ".")
	if !ok {
		return errSeal
	}
	given, err := jws.Base64.DecodeString(tag)
	if err != nil || !hmac.Equal(given, s.mac(purpose, payload)) {
		return errSeal
	}
	data, err := jws.Base64.DecodeString(payload)
	if err != nil {
		return errSeal
	}
	return strictjson.Unmarshal(data, v)
}
