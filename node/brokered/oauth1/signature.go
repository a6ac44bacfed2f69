// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha1"   // registers crypto.SHA1
	_ "crypto/sha256" // registers crypto.SHA256
)

// hash is the method's hash, or 0 if the method is none of ours.
func (m Method) hash() crypto.Hash {
	switch m {
	case HMACSHA1, RSASHA1:
		return crypto.SHA1
	case HMACSHA256, RSASHA256:
		return crypto.SHA256
	}
	return 0
}

// VerifyHMAC checks the signature with the client's secret and that of the
// token, which is empty where there is no token (RFC 5849, section 3.4.2). A
// client without a secret is refused, and so is a request that was signed with
// RSA. It takes the same time for every wrong signature. The error wraps
// [ErrUnauthorized].
func (r *Request) VerifyHMAC(clientSecret, tokenSecret string) error {
	if r.Method != HMACSHA1 && r.Method != HMACSHA256 {
		return unauthorized("this client signs with a secret: use %s or %s", HMACSHA256, HMACSHA1)
	}
	if clientSecret == "" {
		return unauthorized("this client has no secret to sign with")
	}
	if !hmac.Equal(r.signature, r.Method.mac(r.base, clientSecret, tokenSecret)) {
		return errSignature()
	}
	return nil
}

func (m Method) mac(base, clientSecret, tokenSecret string) []byte {
	mac := hmac.New(m.hash().New, []byte(escape(clientSecret)+"&"+escape(tokenSecret)))
	mac.Write([]byte(base))
	return mac.Sum(nil)
}

// VerifyRSA checks the signature with the client's key, of 2048 to 4096 bits:
// RSASSA-PKCS1-v1_5 (RFC 5849, section 3.4.3). A request that was signed with a
// secret is refused. The error wraps [ErrUnauthorized].
func (r *Request) VerifyRSA(key *rsa.PublicKey) error {
	if r.Method != RSASHA1 && r.Method != RSASHA256 {
		return unauthorized("this client signs with an RSA key: use %s or %s", RSASHA256, RSASHA1)
	}
	if key == nil || key.N == nil || key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits {
		return unauthorized("this client has no RSA key of %d to %d bits", minRSABits, maxRSABits)
	}
	if rsa.VerifyPKCS1v15(key, r.Method.hash(), r.Method.digest(r.base), r.signature) != nil {
		return errSignature()
	}
	return nil
}

func (m Method) digest(base string) []byte {
	h := m.hash().New()
	h.Write([]byte(base))
	return h.Sum(nil)
}

func errSignature() error {
	return unauthorized("the signature does not fit: check the secret or key, and that the URL and every parameter were signed as they are sent")
}
