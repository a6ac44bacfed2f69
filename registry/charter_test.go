// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// issuerOf is the issuer of member n in tests, whose first key is fixedKey(n).
func issuerOf(n byte) string { return fmt.Sprintf("https://m%d.example", n) }

func until(index int64) *int64 { return &index }

// member is an active member with its first key.
func member(n byte) registry.Member {
	return registry.Member{
		Issuer: issuerOf(n), State: registry.MemberActive,
		Keys: []registry.MemberKey{{Key: fixedKey(n).JWK()}},
	}
}

// charterOf is a first charter of members 1 to n, of whom one may change it.
func charterOf(n byte) registry.Charter {
	c := registry.Charter{
		Name: "Example Federation", Version: 1, IssuedAt: now, Threshold: 1,
		MaxSuspension: 24 * 3600, SuspensionQuota: 20, MaxAge: 120, ClientsPerMember: 1000,
	}
	for i := byte(1); i <= n; i++ {
		c.Members = append(c.Members, member(i))
	}
	return c
}

func signCharter(t testing.TB, c registry.Charter, signers ...byte) *registry.SignedCharter {
	t.Helper()
	var keys []registry.SigningKey
	for _, n := range signers {
		keys = append(keys, fixedKey(n))
	}
	s, err := registry.NewCharter(c, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCharterRoundTrip(t *testing.T) {
	s := signCharter(t, charterOf(3), 2, 1)
	again, err := registry.ParseCharter(s.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if again.CID != s.CID || !slices.Equal(again.Signers, s.Signers) || len(again.Signers) != 2 || again.Members[2].Issuer != issuerOf(3) {
		t.Errorf("read back %+v", again)
	}
	if !again.SignedBy(fixedKey(1).ID()) || again.SignedBy(fixedKey(3).ID()) {
		t.Error("SignedBy is wrong")
	}
}

func TestCharterSignaturesGrow(t *testing.T) {
	one, two := signCharter(t, charterOf(3), 1), signCharter(t, charterOf(3), 2, 3)
	both, err := one.Merge(two)
	if err != nil || len(both.Signers) != 3 || both.CID != one.CID {
		t.Fatalf("merged: %+v, %v", both, err)
	}
	reversed, err := two.Merge(one)
	if err != nil || !bytes.Equal(reversed.Raw, both.Raw) {
		t.Errorf("merging depends on the order: %v", err)
	}
	added, err := one.AddSignature(fixedKey(2))
	if err != nil || len(added.Signers) != 2 || added.CID != one.CID {
		t.Errorf("added: %+v, %v", added, err)
	}
	if again, err := added.AddSignature(fixedKey(2)); err != nil || again != added {
		t.Errorf("added twice: %v", err)
	}
	if _, err := one.AddSignature(fixedKey(9)); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("a stranger signs: %v", err)
	}
	other := charterOf(3)
	other.Name = "Another Federation"
	if _, err := one.Merge(signCharter(t, other, 1)); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("another payload is merged: %v", err)
	}
}

// Members that this version does not know are signed and kept.
func TestCharterKeepsUnknownMembers(t *testing.T) {
	s := signCharter(t, charterOf(1), 1)
	raw := resign(t, strings.Replace(payloadOf(t, s.Raw), `{"name"`, `{"later":{"a":[1]},"name"`, 1), 1)
	got, err := registry.ParseCharter(raw)
	if err != nil {
		t.Fatal(err)
	}
	added, err := got.AddSignature(fixedKey(1))
	if err != nil || !strings.Contains(payloadOf(t, added.Raw), `"later":{"a":[1]}`) || added.CID == s.CID {
		t.Errorf("the unknown member is lost: %v", err)
	}
}

// payloadOf is the decoded payload of a signed charter.
func payloadOf(t testing.TB, raw []byte) string {
	t.Helper()
	var doc struct{ Payload string }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	payload, ok := jws.Decode(doc.Payload)
	if !ok {
		t.Fatal("payload")
	}
	return string(payload)
}

// charterSignature signs any payload under any header.
func charterSignature(header, payload string, k registry.SigningKey) string {
	input := jws.Base64.EncodeToString([]byte(header)) + "." + jws.Base64.EncodeToString([]byte(payload))
	signature := ed25519.Sign(k.Private(), []byte(input))
	return fmt.Sprintf(`{"protected":%q,"signature":%q}`, jws.Base64.EncodeToString([]byte(header)), jws.Base64.EncodeToString(signature))
}

func charterHeader(n byte) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"comity-charter+jws"}`, fixedKey(n).ID())
}

func document(payload string, signatures ...string) []byte {
	return fmt.Appendf(nil, `{"payload":%q,"signatures":[%s]}`, jws.Base64.EncodeToString([]byte(payload)), strings.Join(signatures, ","))
}

// resign makes a document of any payload, signed by members.
func resign(t testing.TB, payload string, signers ...byte) []byte {
	t.Helper()
	var signatures []string
	for _, n := range signers {
		signatures = append(signatures, charterSignature(charterHeader(n), payload, fixedKey(n)))
	}
	return document(payload, signatures...)
}

func TestCharterEveryPrefixAndFlip(t *testing.T) {
	raw := signCharter(t, charterOf(1), 1).Raw
	for i := range raw {
		if _, err := registry.ParseCharter(raw[:i]); err == nil {
			t.Fatalf("prefix of %d bytes is accepted", i)
		}
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1
		if _, err := registry.ParseCharter(flipped); err == nil {
			t.Fatalf("byte %d (%q) flipped is accepted", i, flipped[i])
		}
	}
}

// charterFault is one way to spoil a charter, with the slug that names it.
type charterFault struct {
	name   string
	slug   string
	change func(*registry.Charter)
}

// charterFaults include those of operators (fault 80).
func charterFaults() []charterFault {
	return []charterFault{
		{"no name", "empty:name", func(c *registry.Charter) { c.Name = "" }},
		{"long name", "limit:name", func(c *registry.Charter) { c.Name = strings.Repeat("n", 81) }},
		{"name with a control", "value:name", func(c *registry.Charter) { c.Name = "a\u202eb" }},
		{"version 0", "empty:version", func(c *registry.Charter) { c.Version = 0 }},
		{"negative version", "value:version", func(c *registry.Charter) { c.Version = -1 }},
		{"version 1 with a previous", "unwanted:previous", func(c *registry.Charter) { c.Previous = registry.CID(nil) }},
		{"version 2 without", "missing:previous", func(c *registry.Charter) { c.Version = 2 }},
		{"previous is no CID", "value:previous", func(c *registry.Charter) { c.Version, c.Previous = 2, "bafk" }},
		{"iat in milliseconds", "limit:iat", func(c *registry.Charter) { c.IssuedAt *= 1000 }},
		{"no members", "type:members", func(c *registry.Charter) { c.Members = nil }},
		{"issuer twice", "duplicate:issuer", func(c *registry.Charter) { c.Members[1].Issuer = c.Members[0].Issuer }},
		{"issuer in http", "value:issuer", func(c *registry.Charter) { c.Members[0].Issuer = "http://m1.example" }},
		{"issuer with a plus", "value:issuer", func(c *registry.Charter) { c.Members[0].Issuer = "https://m1.example/a+b" }},
		{"unknown state", "value:state", func(c *registry.Charter) { c.Members[0].State = "retired" }},
		{"no state", "value:state", func(c *registry.Charter) { c.Members[0].State = "" }},
		{"no key", "missing:keys", func(c *registry.Charter) { c.Members[0].Keys = []registry.MemberKey{} }},
		{"key of two members", "duplicate:key", func(c *registry.Charter) { c.Members[1].Keys[0].Key = fixedKey(1).JWK() }},
		{"key twice in one member", "duplicate:key", func(c *registry.Charter) {
			k := c.Members[0].Keys[0]
			c.Members[0].Keys = []registry.MemberKey{{Key: k.Key, Until: until(4)}, {Key: k.Key, From: 4}}
		}},
		{"key without kid", "missing:kid", func(c *registry.Charter) { c.Members[0].Keys[0].Key.KeyID = "" }},
		{"first key from 1", "value:from", func(c *registry.Charter) { c.Members[0].Keys[0].From = 1 }},
		{"hole between keys", "value:from", func(c *registry.Charter) {
			c.Members[0].Keys = []registry.MemberKey{{Key: fixedKey(1).JWK(), Until: until(4)}, {Key: fixedKey(11).JWK(), From: 5}}
		}},
		{"keys overlap", "value:from", func(c *registry.Charter) {
			c.Members[0].Keys = []registry.MemberKey{{Key: fixedKey(1).JWK(), Until: until(4)}, {Key: fixedKey(11).JWK(), From: 3}}
		}},
		{"key ends before it begins", "value:until", func(c *registry.Charter) {
			c.Members[0].Keys[0].Until = until(-1)
		}},
		{"two current keys", "missing:until", func(c *registry.Charter) {
			c.Members[0].Keys = append(c.Members[0].Keys, registry.MemberKey{Key: fixedKey(11).JWK()})
		}},
		{"active without current key", "unwanted:until", func(c *registry.Charter) { c.Members[0].Keys[0].Until = until(4) }},
		{"expelled with current key", "missing:until", func(c *registry.Charter) { c.Members[0].State = registry.MemberExpelled }},
		{"negative threshold", "value:threshold", func(c *registry.Charter) { c.Threshold = -1 }},
		{"threshold above all", "value:threshold", func(c *registry.Charter) { c.Threshold = 4 }},
		{"threshold above the active", "value:threshold", func(c *registry.Charter) {
			c.Threshold, c.Members[2].State = 3, registry.MemberSuspended
		}},
		{"nobody active", "value:members", func(c *registry.Charter) {
			c.Threshold = 0
			for i := range c.Members {
				c.Members[i].State = registry.MemberSuspended
			}
		}},
		{"view quorum above all", "value:view_quorum", func(c *registry.Charter) { c.ViewQuorum = 4 }},
		{"negative view quorum", "value:view_quorum", func(c *registry.Charter) { c.ViewQuorum = -1 }},
		{"ban threshold above all", "value:ban_threshold", func(c *registry.Charter) { c.BanThreshold = 4 }},
		{"no max_suspension", "empty:max_suspension", func(c *registry.Charter) { c.MaxSuspension = 0 }},
		{"suspension for ever", "value:max_suspension", func(c *registry.Charter) { c.MaxSuspension = registry.MaxMaxSuspension + 1 }},
		{"no quota", "empty:suspension_quota", func(c *registry.Charter) { c.SuspensionQuota = 0 }},
		{"endless quota", "value:suspension_quota", func(c *registry.Charter) { c.SuspensionQuota = registry.MaxSuspensionQuota + 1 }},
		{"max_age of a second", "value:max_age", func(c *registry.Charter) { c.MaxAge = 1 }},
		{"max_age of a day", "value:max_age", func(c *registry.Charter) { c.MaxAge = 24 * 3600 }},
		{"no clients", "empty:clients_per_member", func(c *registry.Charter) { c.ClientsPerMember = 0 }},
		{"endless clients", "value:clients_per_member", func(c *registry.Charter) { c.ClientsPerMember = registry.MaxClientsPerMember + 1 }},
	}
}

// fault 80
func TestFault80Charter(t *testing.T) {
	for _, f := range charterFaults() {
		t.Run(f.name, func(t *testing.T) {
			c := charterOf(3)
			f.change(&c)
			_, err := registry.NewCharter(c, fixedKey(1))
			if err == nil || registry.Slug(err) != f.slug || !errors.Is(err, registry.ErrForm) {
				t.Errorf("got %v (%s), want %s", err, registry.Slug(err), f.slug)
			}
		})
	}
	if _, err := registry.NewCharter(charterOf(3)); err == nil {
		t.Error("a charter without a signature")
	}
}

func TestCharterAccepts(t *testing.T) {
	for name, change := range map[string]func(*registry.Charter){
		"explicit quorums":   func(c *registry.Charter) { c.ViewQuorum, c.BanThreshold, c.Threshold = 3, 3, 3 },
		"shortest max_age":   func(c *registry.Charter) { c.MaxAge = registry.MinMaxAge },
		"a suspended member": func(c *registry.Charter) { c.Members[2].State = registry.MemberSuspended },
		"an expelled member": func(c *registry.Charter) {
			c.Members[2].State, c.Members[2].Keys[0].Until = registry.MemberExpelled, until(7)
		},
		"a key that never signed": func(c *registry.Charter) {
			c.Members[0].Keys = []registry.MemberKey{{Key: fixedKey(1).JWK(), Until: until(0)}, {Key: fixedKey(11).JWK()}}
		},
	} {
		c := charterOf(3)
		change(&c)
		if _, err := registry.NewCharter(c, fixedKey(2)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLargestCharter(t *testing.T) {
	c := charterOf(0)
	keys := make([]registry.SigningKey, registry.MaxMembers)
	for i := range keys {
		keys[i] = registry.GenerateSigningKey()
		c.Members = append(c.Members, registry.Member{
			Issuer: fmt.Sprintf("https://broker-%d.organisation.example", i), State: registry.MemberActive,
			Keys: []registry.MemberKey{{Key: registry.GenerateSigningKey().JWK(), Until: until(1000)}, {Key: keys[i].JWK(), From: 1000}},
		})
	}
	one, err := registry.NewCharter(c, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.AddSignature(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	if all := len(one.Raw) + (registry.MaxMembers-1)*(len(two.Raw)-len(one.Raw)); all > registry.MaxCharterBytes {
		t.Errorf("signed by all it has %d bytes", all)
	}
	c.Members = append(c.Members, member(1))
	if _, err := registry.NewCharter(c, keys[0]); registry.Slug(err) != "limit:members" {
		t.Errorf("one member more: %v", err)
	}
}

// documentFault is a spoiled document, with the slug that names what is wrong.
type documentFault struct {
	name string
	raw  []byte
	slug string
}

func charterDocumentFaults(t testing.TB) []documentFault {
	payload := payloadOf(t, signCharter(t, charterOf(2), 1).Raw)
	one := charterSignature(charterHeader(1), payload, fixedKey(1))
	two := charterSignature(charterHeader(2), payload, fixedKey(2))
	withHeader := func(header string) []byte {
		return document(payload, charterSignature(header, payload, fixedKey(1)))
	}
	kid := fixedKey(1).ID()
	good := document(payload, one, two)
	if _, err := registry.ParseCharter(good); err != nil {
		t.Fatal(err)
	}
	return []documentFault{
		{"kid twice", document(payload, one, one), "duplicate:kid"},
		{"no signature", document(payload), "empty:signatures"},
		{"another's signature", document(payload, charterSignature(charterHeader(1), payload, fixedKey(2))), "signature"},
		{"a stranger's signature beside a good one", document(payload, one, charterSignature(charterHeader(9), payload, fixedKey(9))), "signature"},
		{"a signature of another payload", document(payload, charterSignature(charterHeader(1), payload+" ", fixedKey(1))), "signature"},
		{"unprotected header", document(payload, strings.Replace(one, "{", `{"header":{},`, 1)), "unwanted:header"},
		{"flattened form", bytes.Replace(good, []byte(`"signatures"`), []byte(`"signature":"","signatures"`), 1), "unwanted:signature"},
		{"payload twice", bytes.Replace(good, []byte(`{"payload"`), []byte(`{"payload":"","payload"`), 1), "duplicate"},
		{"no payload", bytes.Replace(good, []byte(`"payload"`), []byte(`"Payload"`), 1), "unwanted:Payload"},
		{"padding", bytes.Replace(good, []byte(`","signatures"`), []byte(`=","signatures"`), 1), "base64:payload"},
		{"trailing bytes", append(bytes.Clone(good), '{'), "trailing"},
		{"typ of a record", withHeader(fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"comity-view+jwt"}`, kid)), "typ"},
		{"no typ", withHeader(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, kid)), "typ"},
		{"alg none", withHeader(fmt.Sprintf(`{"alg":"none","kid":%q,"typ":"comity-charter+jws"}`, kid)), "alg"},
		{"no kid", withHeader(`{"alg":"EdDSA","typ":"comity-charter+jws"}`), "missing:kid"},
		{"jwk in the header", withHeader(fmt.Sprintf(`{"alg":"EdDSA","jwk":{},"kid":%q,"typ":"comity-charter+jws"}`, kid)), "header"},
		{"null member", resign(t, strings.Replace(payload, `"threshold":1`, `"threshold":1,"view_quorum":null`, 1), 1), "type:view_quorum"},
		{"misspelt threshold", resign(t, strings.Replace(payload, `"threshold"`, `"treshold"`, 1), 1), "missing:threshold"},
		{"fraction", resign(t, strings.Replace(payload, `"threshold":1`, `"threshold":1.5`, 1), 1), "type:threshold"},
		{"too long", append(bytes.Clone(good), bytes.Repeat([]byte(" "), registry.MaxCharterBytes)...), "size"},
	}
}

func TestCharterDocumentRefusals(t *testing.T) {
	for _, test := range charterDocumentFaults(t) {
		t.Run(test.name, func(t *testing.T) {
			_, err := registry.ParseCharter(test.raw)
			if err == nil || registry.Slug(err) != test.slug {
				t.Errorf("got %v (%s), want %s", err, registry.Slug(err), test.slug)
			}
		})
	}
}
