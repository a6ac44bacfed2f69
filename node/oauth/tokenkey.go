// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/site/protocol"
)

// A token's key, by which the store knows it, is the time in the token's
// characters, as 12 hexadecimal digits of milliseconds since 1970, a dot, and
// the token's hash. The time is about that of its expiry. So tokens of the same
// time lie side by side in the store, however many others there are, and what
// has expired lies together; with the hash alone each row would cost a page of
// its own at every commit. Characters without a time, of former versions, have
// noTime in its place.
const (
	keyTime = 12
	noTime  = "000000000000"
)

// Of an opaque token: characters of its time (48 bits), and in all.
const (
	timeChars   = 8
	opaqueChars = timeChars + 43
)

// timeBits puts a time near a second of the future into the first six bytes:
// that second, and the milliseconds of now.
func (s *Server) timeBits(b []byte, second int64) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(second*1000+int64(s.cfg.Now().Nanosecond()/1e6)))
	copy(b, ms[2:])
}

// opaque makes the characters of an opaque token: when it expires, and 256
// random bits.
func (s *Server) opaque(expiresAt int64) string {
	var b [38]byte
	rand.Read(b[6:]) // never fails
	s.timeBits(b[:], expiresAt)
	return jws.Base64.EncodeToString(b[:])
}

// tokenID makes the jti of a JWT that expires then, and 80 random bits.
func (s *Server) tokenID(expiresAt int64) string {
	var b [16]byte
	rand.Read(b[6:])
	s.timeBits(b[:], expiresAt)
	return hex.EncodeToString(b[:])
}

// tokenKey is the key of the token with these characters, which may be anything.
func tokenKey(characters string) string {
	return timeIn(characters) + "." + protocol.TokenHash(characters)
}

func timeIn(characters string) string {
	if len(characters) == opaqueChars {
		if b, ok := jws.Decode(characters[:timeChars]); ok {
			return hex.EncodeToString(b)
		}
		return noTime
	}
	// A JWT, of which nothing needs to be true here: what it says is part of
	// what the hash is of.
	_, rest, _ := strings.Cut(characters, ".")
	payload, _, three := strings.Cut(rest, ".")
	if !three {
		return noTime
	}
	var claims struct {
		ID string `json:"jti"`
	}
	raw, ok := jws.Decode(payload)
	if !ok || json.Unmarshal(raw, &claims) != nil {
		return noTime
	}
	if _, err := hex.DecodeString(claims.ID); err != nil || len(claims.ID) != 32 {
		return noTime
	}
	return strings.ToLower(claims.ID[:keyTime])
}

// Hash is the token's hash, as its site knows it.
func (t Token) Hash() string { return t.Key[strings.IndexByte(t.Key, '.')+1:] }
