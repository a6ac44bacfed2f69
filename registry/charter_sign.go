// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// SignedCharter is one version of a charter with at least one signature, each
// of which is good and by a key that the charter itself lists. Whether they
// are enough depends on the version before: that is for a Chain to say.
// Signed charters are immutable values.
type SignedCharter struct {
	Raw     []byte   // JWS general JSON (RFC 7515, section 7.2.1), as received
	CID     string   // of the payload bytes alone: the set of signatures may grow
	Charter          // what the payload says
	Signers []string // thumbprints of the keys that signed, sorted

	payload    string // base64url, as received
	signatures []charterSignature
	roll       roll
}

// charterDocument is the outer JSON object.
type charterDocument struct {
	Payload    string             `json:"payload"`
	Signatures []charterSignature `json:"signatures"`
}

type charterSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
	kid       string
}

// charterValues bounds the JSON values of a charter: a thousand members take
// about twenty each, and five for each signature.
const charterValues = 64 * MaxMembers

// ParseCharter checks form, bounds and every signature of a charter. The error
// is ErrForm, ErrLimit or ErrSignature. Members of the payload that this
// version does not know are kept in Raw.
func ParseCharter(raw []byte) (*SignedCharter, error) {
	if len(raw) > MaxCharterBytes {
		return nil, wrong(classSize, "", "charter of %d bytes, at most %d are allowed", len(raw), MaxCharterBytes)
	}
	doc, err := parseCharterDocument(raw)
	if err != nil {
		return nil, err
	}
	payload, ok := jws.Decode(doc.Payload)
	if !ok {
		return nil, wrong("base64", "payload", "the payload is not canonical base64url")
	}
	s := &SignedCharter{Raw: bytes.Clone(raw), CID: CID(payload), payload: doc.Payload, signatures: doc.Signatures}
	if s.roll, err = s.Charter.parse(payload); err != nil {
		return nil, err
	}
	if err := s.verify(); err != nil {
		return nil, err
	}
	return s, nil
}

func parseCharterDocument(raw []byte) (*charterDocument, error) {
	members, err := exactly(raw, "payload", "signatures")
	if err != nil {
		return nil, err
	}
	doc := new(charterDocument)
	if err := strictjson.Unmarshal(members["payload"], &doc.Payload); err != nil {
		return nil, wrong(classType, "payload", "the payload is not a string")
	}
	var list []strictjson.RawMessage
	if err := strictjson.Unmarshal(members["signatures"], &list); err != nil {
		return nil, wrong(classType, "signatures", "signatures is not an array")
	}
	if len(list) == 0 {
		return nil, wrong(classEmpty, "signatures", "the charter has no signature")
	}
	if len(list) > MaxMembers*2 { // an old and a new key each
		return nil, wrong(classLimit, "signatures", "%d signatures, at most %d are allowed", len(list), MaxMembers*2)
	}
	for _, one := range list {
		s, err := parseCharterSignature(one)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(doc.Signatures, func(o charterSignature) bool { return o.kid == s.kid }) {
			return nil, wrong("duplicate", "kid", "two signatures by %s", s.kid)
		}
		doc.Signatures = append(doc.Signatures, s)
	}
	return doc, nil
}

// exactly decodes an object with exactly these members.
func exactly(raw []byte, names ...string) (map[string]strictjson.RawMessage, error) {
	members, err := strictjson.Object(raw, strictjson.Limits{Values: charterValues, Members: len(names) + 1})
	if err != nil {
		return nil, lower(err)
	}
	found := make(map[string]strictjson.RawMessage, len(members))
	for _, m := range members {
		if !slices.Contains(names, m.Name) {
			return nil, wrong(classUnwanted, m.Name, "member %.40q has no place in a signed charter", m.Name)
		}
		found[m.Name] = m.Value
	}
	for _, name := range names {
		if found[name] == nil {
			return nil, wrong(classMissing, name, "member %q is missing", name)
		}
	}
	return found, nil
}

// parseCharterSignature reads one signature. Together with the payload it is a
// compact JWS, so its header is judged by the same code as every other; the
// payload is left out here, since there may be a thousand signatures over it.
func parseCharterSignature(raw []byte) (charterSignature, error) {
	var s charterSignature
	members, err := exactly(raw, "protected", "signature")
	if err != nil {
		return s, err
	}
	if strictjson.Unmarshal(members["protected"], &s.Protected) != nil || strictjson.Unmarshal(members["signature"], &s.Signature) != nil {
		return s, wrong(classType, "signatures", "protected and signature are not strings")
	}
	m, err := jws.Parse(s.Protected+".."+s.Signature, jws.Rules{
		Types: []string{string(KindCharter)}, Algorithms: jws.EdDSA, MaxBytes: 1 << 10,
	})
	if err != nil {
		return s, lower(err)
	}
	if m.KeyID == "" {
		return s, wrong(classMissing, "kid", "a signature has no kid")
	}
	s.kid = m.KeyID
	return s, nil
}

func badSignature(format string, args ...any) error {
	return &FormError{Class: classSign, cause: ErrSignature, text: fmt.Sprintf(format, args...)}
}

// verify checks every signature: one bad one spoils the document, or else
// anybody could hang junk on a charter that others pass on.
func (s *SignedCharter) verify() error {
	slices.SortFunc(s.signatures, func(a, b charterSignature) int { return strings.Compare(a.kid, b.kid) })
	for _, one := range s.signatures {
		place, ok := s.roll.byKey[one.kid]
		if !ok {
			return badSignature("the charter is signed by %s, which is no key of its members", one.kid)
		}
		signature, _ := jws.Decode(one.Signature)
		if !ed25519.Verify(s.roll.keys[place.member][place.key].public, []byte(one.Protected+"."+s.payload), signature) {
			return badSignature("the signature by %s on the charter does not verify", one.kid)
		}
		s.Signers = append(s.Signers, one.kid)
	}
	return nil
}

// NewCharter signs a new charter with at least one key of its members.
func NewCharter(c Charter, keys ...SigningKey) (*SignedCharter, error) {
	payload, err := encode(c)
	if err != nil {
		return nil, fmt.Errorf("encode charter: %w", err)
	}
	doc := charterDocument{Payload: jws.Base64.EncodeToString(payload)}
	for _, k := range keys {
		doc.Signatures = append(doc.Signatures, signCharter(k, doc.Payload))
	}
	return doc.parse()
}

func signCharter(k SigningKey, payload string) charterSignature {
	header := fmt.Appendf(nil, `{"alg":"EdDSA","kid":%q,"typ":%q}`, k.id, KindCharter)
	protected := jws.Base64.EncodeToString(header)
	signature := ed25519.Sign(k.private, []byte(protected+"."+payload))
	return charterSignature{Protected: protected, Signature: jws.Base64.EncodeToString(signature), kid: k.id}
}

// parse encodes and reads back, so that what we make passes our own checks.
func (d *charterDocument) parse() (*SignedCharter, error) {
	slices.SortFunc(d.Signatures, func(a, b charterSignature) int { return strings.Compare(a.kid, b.kid) })
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode charter: %w", err)
	}
	return ParseCharter(raw)
}

// AddSignature returns the charter with a signature by k as well. The error is
// ErrSignature when k is no key of a member.
func (s *SignedCharter) AddSignature(k SigningKey) (*SignedCharter, error) {
	if s.SignedBy(k.id) {
		return s, nil
	}
	doc := charterDocument{s.payload, append(slices.Clone(s.signatures), signCharter(k, s.payload))}
	return doc.parse()
}

// SignedBy reports whether the key with that thumbprint signed.
func (s *SignedCharter) SignedBy(kid string) bool {
	_, found := slices.BinarySearch(s.Signers, kid)
	return found
}

// Merge returns the charter with the signatures of both. The error is
// ErrConflict when the payloads differ.
func (s *SignedCharter) Merge(other *SignedCharter) (*SignedCharter, error) {
	if s.CID != other.CID {
		return nil, fmt.Errorf("%w: charters %s and %s are not the same", ErrConflict, s.CID, other.CID)
	}
	doc := charterDocument{Payload: s.payload, Signatures: slices.Clone(s.signatures)}
	for _, one := range other.signatures {
		if !s.SignedBy(one.kid) {
			doc.Signatures = append(doc.Signatures, one)
		}
	}
	if len(doc.Signatures) == len(s.signatures) {
		return s, nil
	}
	return doc.parse()
}

// approvals counts the active members of the charter by whose current key s is
// signed.
func (s *SignedCharter) approvals(by *SignedCharter) int {
	n := 0
	for _, kid := range s.Signers {
		place, ok := by.roll.byKey[kid]
		if !ok {
			continue
		}
		if m := by.Members[place.member]; m.State == MemberActive && m.Keys[place.key].Until == nil {
			n++
		}
	}
	return n
}
