// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"slices"

	"github.com/comity-network/comity/internal/jws"
)

// Kind is the explicit type (typ, RFC 8725 section 3.11) of a signed record.
type Kind string

// The closed set of record kinds.
const (
	// KindBroker may carry the members of Broker.
	KindBroker Kind = "comity-broker+jwt"
	// KindRegistration may carry the members of Registration and any others.
	KindRegistration Kind = "comity-registration+jwt"
	// KindRevocation may carry the members of Revocation; until only with
	// suspend, seq and prev only together.
	KindRevocation Kind = "comity-revocation+jwt"
	// KindView may carry the members of View. It is in no log.
	KindView Kind = "comity-view+jwt"
	// KindCharter is signed as JWS general JSON, see Charter.
	KindCharter Kind = "comity-charter+jws"
)

// recordKinds are the kinds that ParseRecord knows, with their size limits.
var recordKinds = map[Kind]int{
	KindBroker:       MaxRecordBytes,
	KindRegistration: MaxRecordBytes,
	KindRevocation:   MaxRevocationBytes,
	KindView:         MaxViewBytes,
}

// Claims are the members that every record carries.
type Claims struct {
	Issuer   string `json:"iss"` // issuer URL of the signing broker
	IssuedAt int64  `json:"iat"` // seconds since 1970
	ID       string `json:"jti"` // 128 random bits, base64url
}

// Record is one signed record: its exact bytes and what they say. Exactly one
// of the four bodies is set. Records are immutable.
type Record struct {
	Raw    string // the compact JWS, byte for byte as it was signed
	CID    string // of Raw: version 1, raw, sha2-256, base32 lower case
	Kind   Kind
	KeyID  string // RFC 7638 thumbprint of the signing record key
	Claims        // the same values as in the body

	Broker       *Broker
	Registration *Registration
	Revocation   *Revocation
	View         *View
}

// ParseRecord checks that raw is, byte for byte, a record of one of the given
// kinds, or of any kind when none is given. It checks the form alone: the
// signature is checked by Verify, and whether the signer may say this is the
// charter's and the fold's matter. The error is ErrForm, and ErrLimit as well
// when a bound was passed; Slug gives its stable word.
func ParseRecord(raw []byte, kinds ...Kind) (*Record, error) {
	rules := rulesFor(kinds)
	if len(raw) > rules.MaxBytes {
		return nil, tooLong(len(raw), rules.MaxBytes)
	}
	m, err := jws.Parse(string(raw), rules)
	if err != nil {
		return nil, lower(err)
	}
	r := &Record{Raw: string(raw), CID: CID(raw), Kind: Kind(m.Type), KeyID: m.KeyID}
	if err := r.checkHeader(); err != nil {
		return nil, err
	}
	if r.Claims, err = r.parseBody(m.Payload); err != nil {
		return nil, err
	}
	return r, nil
}

// rulesFor makes size and typ the first two things that are looked at.
func rulesFor(kinds []Kind) jws.Rules {
	rules := jws.Rules{Algorithms: jws.EdDSA}
	for kind, size := range recordKinds {
		if len(kinds) == 0 || slices.Contains(kinds, kind) {
			rules.Types = append(rules.Types, string(kind))
			rules.MaxBytes = max(rules.MaxBytes, size)
		}
	}
	slices.Sort(rules.Types)
	return rules
}

func tooLong(have, most int) error {
	return wrong(classSize, "", "the record has %d bytes, at most %d are allowed: make it shorter", have, most)
}

func (r *Record) checkHeader() error {
	if most := recordKinds[r.Kind]; len(r.Raw) > most {
		return tooLong(len(r.Raw), most)
	}
	if r.KeyID == "" {
		return wrong(classMissing, "kid", "kid is missing in the header: add the thumbprint of the record key")
	}
	return checkDigest("kid", r.KeyID)
}

func (r *Record) parseBody(payload []byte) (c Claims, err error) {
	switch r.Kind {
	case KindBroker:
		if r.Broker, err = parseBroker(payload, r.KeyID); err == nil {
			c = r.Broker.Claims
		}
	case KindRegistration:
		if r.Registration, err = parseRegistration(payload); err == nil {
			c = r.Registration.Claims
		}
	case KindRevocation:
		if r.Revocation, err = parseRevocation(payload); err == nil {
			c = r.Revocation.Claims
		}
	case KindView:
		if r.View, err = parseView(payload); err == nil {
			c = r.View.Claims
		}
	}
	return c, err
}

// Verify checks the signature. The kid must be the thumbprint of pub. The
// error is ErrSignature.
func (r *Record) Verify(pub ed25519.PublicKey) error {
	if r.KeyID != Thumbprint(pub) {
		return &FormError{Class: classKid, cause: ErrSignature,
			text: "the record was not signed by this key: kid is " + r.KeyID + ", the key is " + Thumbprint(pub)}
	}
	m, err := jws.Parse(r.Raw, rulesFor([]Kind{r.Kind}))
	if err != nil {
		return lower(err)
	}
	if m.Verify(pub) != nil {
		return &FormError{Class: classSign, cause: ErrSignature,
			text: "the signature does not verify under key " + r.KeyID + ": the record is forged or damaged"}
	}
	return nil
}

// ClientID returns the client that the record is about: of a registration its
// sub, or its own CID where seq is 0; of a revocation its client_id. It is
// empty for other kinds.
func (r *Record) ClientID() string {
	switch {
	case r.Registration != nil && r.Registration.Sequence == 0:
		return r.CID
	case r.Registration != nil:
		return r.Registration.Client
	case r.Revocation != nil:
		return r.Revocation.Client
	}
	return ""
}

// sign makes a record of body and reads it back, so that nothing is signed
// that ParseRecord would refuse.
func sign(k SigningKey, kind Kind, body []byte) (*Record, error) {
	r, err := ParseRecord([]byte(k.Sign(string(kind), body)), kind)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (c *Claims) fields() []field {
	return []field{
		{name: "iss", into: &c.Issuer, required: true},
		{name: "iat", into: &c.IssuedAt, required: true},
		{name: "jti", into: &c.ID, required: true},
	}
}

func (c *Claims) check() error {
	if err := CheckIssuer(c.Issuer); err != nil {
		return relabel(err, "iss")
	}
	if err := checkTime("iat", c.IssuedAt); err != nil {
		return err
	}
	return checkID(c.ID)
}

// fill sets what Sign may set itself.
func (c *Claims) fill() {
	if c.ID == "" {
		c.ID = NewID()
	}
}

// checkID wants exactly 16 bytes in canonical base64url.
func checkID(id string) error {
	if b, ok := jws.Decode(id); !ok || len(b) != IDBytes {
		return wrong(classValue, "jti", "jti is not %d bytes in canonical base64url: use 128 random bits, 22 characters", IDBytes)
	}
	return nil
}

func checkTime(member string, t int64) error {
	switch {
	case t > MaxTime:
		return wrong(classLimit, member, "%s is %d, after the year 9998: give seconds since 1970, not milliseconds", member, t)
	case t < MinTime:
		return wrong(classValue, member, "%s is %d, before the year 2020: give seconds since 1970 and set the clock", member, t)
	}
	return nil
}

// checkDigest wants a SHA-256 in canonical base64url.
func checkDigest(member, s string) error {
	if b, ok := jws.Decode(s); !ok || len(b) != 32 {
		return wrong(classValue, member, "%s is not 32 bytes in canonical base64url, which are 43 characters", member)
	}
	return nil
}

func checkCID(member, s string) error {
	if err := ParseCID(s); err != nil {
		return relabel(err, member)
	}
	return nil
}

// checkSequence bounds a seq that is there; least is the lowest it may be.
func checkSequence(seq, least int64) error {
	switch {
	case seq > MaxSeq:
		return wrong(classLimit, "seq", "seq is %d, at most %d is allowed: it counts one by one", seq, int64(MaxSeq))
	case seq < least:
		return wrong(classValue, "seq", "seq is %d, at least %d is expected here", seq, least)
	}
	return nil
}
