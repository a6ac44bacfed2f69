// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// accepted reports whether raw is a record that key 1 signed.
func accepted(raw string) bool {
	r, err := registry.ParseRecord([]byte(raw))
	return err == nil && r.Verify(fixedKey(1).Public()) == nil
}

// fault 26: no byte of a record may be another one, none may be missing, and
// none may come on top.
func TestFault26EveryByte(t *testing.T) {
	for kind, r := range oneOfEach(t) {
		t.Run(string(kind), func(t *testing.T) {
			if !accepted(r.Raw) {
				t.Fatal("the record itself is refused")
			}
			for i := range len(r.Raw) {
				if accepted(r.Raw[:i]) {
					t.Fatalf("the first %d bytes are accepted", i)
				}
				if accepted(r.Raw[:i] + r.Raw[i+1:]) {
					t.Fatalf("accepted without byte %d", i)
				}
				// One bit of each byte: internal/jws tries more values.
				altered := []byte(r.Raw)
				altered[i] ^= 1 << (i % 6)
				if accepted(string(altered)) {
					t.Fatalf("byte %d may be %q", i, altered[i])
				}
			}
			for _, more := range []string{" ", "\n", "\r\n", "\x00", "=", ".", "A", r.Raw} {
				if accepted(r.Raw+more) || accepted(more+r.Raw) {
					t.Errorf("%.10q may stand around the record", more)
				}
			}
		})
	}
}

// fault 26: nothing is read into a value that another spelling could hide in.
func TestFault26Spellings(t *testing.T) {
	r := oneOfEach(t)[registry.KindRegistration]
	parts := strings.Split(r.Raw, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	for name, altered := range map[string]string{
		"space in the payload":       strings.Replace(string(payload), ":", ": ", 1),
		"other order":                with("{"+strings.TrimPrefix(string(payload), "{"+claimsJSON+","), claimsJSON),
		"duplicate with one meaning": with(string(payload), `"seq":0`),
		"escape":                     strings.Replace(string(payload), "P", `\u0050`, 1),
	} {
		raw := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(altered)) + "." + parts[2]
		if accepted(raw) {
			t.Errorf("%s: accepted", name)
		}
		if registry.CID([]byte(raw)) == r.CID {
			t.Errorf("%s: same CID", name)
		}
	}
}

// fault 29: a number that nobody can count on from, a time in the year 9999.
func TestFault29Bounds(t *testing.T) {
	first := registration()
	later := func(seq int64) registry.Registration {
		r := registration()
		r.Sequence, r.Client, r.Previous = seq, someCID, someCID
		return r
	}
	at := func(iat int64) registry.Registration {
		r := first
		r.IssuedAt = iat
		return r
	}
	for _, tc := range []struct {
		name string
		body registry.Registration
		want error
	}{
		{"seq at the bound", later(registry.MaxSeq), nil},
		{"seq over the bound", later(registry.MaxSeq + 1), registry.ErrLimit},
		{"seq 2^53", later(1 << 53), registry.ErrLimit},
		{"seq 2^63-1", later(math.MaxInt64), registry.ErrLimit},
		{"seq -1", later(-1), registry.ErrForm},
		{"iat at the bound", at(registry.MaxTime), nil},
		{"iat over the bound", at(registry.MaxTime + 1), registry.ErrLimit},
		{"iat in the year 9999", at(253402300799), registry.ErrLimit},
		{"iat 2^63-1", at(math.MaxInt64), registry.ErrLimit},
		{"iat at the lower bound", at(registry.MinTime), nil},
		{"iat below", at(registry.MinTime - 1), registry.ErrForm},
		{"iat negative", at(-1), registry.ErrForm},
	} {
		if _, err := registry.SignRegistration(fixedKey(1), tc.body); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	rev := revocation()
	rev.Until, rev.Sequence, rev.Previous = 0, registry.MaxSeq+1, someCID
	if _, err := registry.SignRevocation(fixedKey(1), rev); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("revocation with seq over the bound: %v", err)
	}
	rev = revocation()
	rev.Until = registry.MaxTime + 1
	if _, err := registry.SignRevocation(fixedKey(1), rev); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("revocation until after the bound: %v", err)
	}
	v := view()
	v.LogSize = registry.MaxLogSize + 1
	if _, err := registry.SignView(fixedKey(1), v); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("view of a log over the bound: %v", err)
	}
}

// hostile are the records of fault 45, by name.
func hostile() map[string][]byte {
	k := fixedKey(1)
	sign := func(payload string) []byte { return []byte(k.Sign(string(registry.KindRegistration), []byte(payload))) }
	fill := func(prefix, item, suffix string, size int) string {
		return prefix + strings.Repeat(item, (size-len(prefix)-len(suffix))/len(item)) + suffix
	}
	const room = 12_000 // bytes of payload that fit 16 KiB
	names := func() string {
		var b strings.Builder
		for i := 0; b.Len() < room-20; i++ {
			fmt.Fprintf(&b, `"%x":0,`, i)
		}
		return "{" + b.String() + `"z":0}`
	}
	return map[string][]byte{
		"16 KiB and one":         []byte(fill("", "A", "", registry.MaxRecordBytes+1)),
		"16 MiB":                 []byte(fill("", "A", "", 16<<20)),
		"million elements":       sign(fill(`{"a":[`, "0,", "0]}", 2_000_000)),
		"elements that fit":      sign(fill(`{"a":[`, "0,", "0]}", room)),
		"strings that fit":       sign(fill(`{"redirect_uris":[`, `"",`, `""]}`, room)),
		"keys that fit":          sign(fill(`{"jwks":{"keys":[`, `{},`, `{}]}}`, room)),
		"arrays that fit":        sign(fill(`{"a":[`, "[],", "[]]}", room)),
		"members that fit":       sign(names()),
		"members below":          sign(`{"a":` + names() + `}`),
		"ten thousand levels":    sign(strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000)),
		"ten thousand objects":   sign(fill("", `{"a":`, "", room)),
		"escapes":                sign(fill(`{"client_name":"`, `\u0041`, `"}`, room)),
		"one name over and over": sign(fill("{", `"a":0,`, `"a":0}`, room)),
		"long number":            sign(fill(`{"iat":`, "9", "}", room)),
		"long exponent":          sign(fill(`{"iat":1e`, "9", "}", room)),
		"not UTF-8":              sign(fill(`{"client_name":"`, "\xff", `"}`, room)),
		"NUL":                    sign(fill(`{"client_name":"`, "\x00", `"}`, room)),
		"repetition":             sign(fill(`{"client_name":"`, "ab", `"}`, room)),
		"unknown version":        []byte(k.Sign("comity-registration2+jwt", []byte(registrationJSON))),
		"critical member":        []byte(signParts(viewHeader(`,"crit":["x"],"x":1`), viewJSON)),
		"header of one member":   []byte(signParts(fill(`{"typ":"`, "a", `"}`, room), "{}")),
		"header of many members": []byte(signParts(names(), "{}")),
		"only dots":              []byte(fill("", ".", "", registry.MaxRecordBytes)),
	}
}

// fault 45: refused, and never at the price of more than 64 KiB beyond the
// record's own bytes, which are kept once and decoded once.
func TestFault45Hostile(t *testing.T) {
	for name, raw := range hostile() {
		if _, err := registry.ParseRecord(raw); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
		if have, most := allocated(func() { _, _ = registry.ParseRecord(raw) }), parseCost(raw); have > most {
			t.Errorf("%s: %d bytes allocated for %d, at most %d are expected", name, have, len(raw), most)
		}
	}
}

// parseCost is what ParseRecord may allocate. A record that is too long is not
// copied at all.
func parseCost(raw []byte) uint64 {
	const spare = 64 << 10
	if len(raw) > registry.MaxRecordBytes {
		return spare
	}
	return 2*uint64(len(raw)) + spare
}

// allocated returns the bytes that f allocates, the least of three runs.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// fault 45: the longest records that are accepted stay within the bound, too.
func TestFault45Longest(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.expect != "valid" || !strings.Contains(v.kind, "+jwt") {
			continue
		}
		if have, most := allocated(func() { _, _ = registry.ParseRecord(v.object) }), parseCost(v.object); have > most {
			t.Errorf("%s: %d bytes allocated, at most %d are expected", v.name, have, most)
		}
	}
}

// fault 46: a valid record that is offered under the name of another one.
func TestFault46OtherName(t *testing.T) {
	all := oneOfEach(t)
	for kind, r := range all {
		if err := registry.CheckCID(r.CID, []byte(r.Raw)); err != nil {
			t.Errorf("%s under its own name: %v", kind, err)
		}
		for _, other := range all {
			if other != r && !errors.Is(registry.CheckCID(r.CID, []byte(other.Raw)), registry.ErrForm) {
				t.Errorf("%s is taken for %s", other.Kind, kind)
			}
		}
		if !errors.Is(registry.CheckCID(strings.ToUpper(r.CID), []byte(r.Raw)), registry.ErrForm) {
			t.Errorf("%s under its name in upper case", kind)
		}
	}
	// The first registration says nothing of its client_id: it is its name.
	first := all[registry.KindRegistration]
	if first.ClientID() != first.CID {
		t.Errorf("client_id %s of %s", first.ClientID(), first.CID)
	}
}

// fault 47: the signature of one kind of object is worth nothing for another.
func TestFault47OtherKind(t *testing.T) {
	all := oneOfEach(t)
	for kind, r := range all {
		for other, o := range all {
			if other == kind {
				continue
			}
			if _, err := registry.ParseRecord([]byte(r.Raw), other); registry.Slug(err) != "typ" {
				t.Errorf("%s read as %s: %v", kind, other, err)
			}
			parts, theirs := strings.Split(r.Raw, "."), strings.Split(o.Raw, ".")
			for name, raw := range map[string]string{
				"signature": parts[0] + "." + parts[1] + "." + theirs[2],
				"payload":   parts[0] + "." + theirs[1] + "." + parts[2],
				"header":    theirs[0] + "." + parts[1] + "." + parts[2],
			} {
				if accepted(raw) {
					t.Errorf("%s with the %s of %s is accepted", kind, name, other)
				}
			}
		}
	}
	// What the same key signs in other protocols is not a record.
	for _, typ := range []string{"secevent+jwt", "at+jwt", "JWT", "comity-code+jwt", "comity-charter+jws", "dpop+jwt"} {
		if _, err := registry.ParseRecord([]byte(fixedKey(1).Sign(typ, []byte(registrationJSON)))); registry.Slug(err) != "typ" {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// fault 47: a record key of small order would verify what nobody signed.
func TestFault47SmallOrder(t *testing.T) {
	b := broker()
	for _, key := range []string{
		"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "7P_______________________________________38",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
		"xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o",
	} {
		pub, err := base64.RawURLEncoding.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		weak := registry.NewJWK(pub)
		if _, err := weak.PublicKey(); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%s is a key: %v", key, err)
		}
		b.TokenKeys = []registry.JWK{weak}
		if _, err := registry.SignBroker(fixedKey(1), b); registry.Slug(err) != "value:token_keys" {
			t.Errorf("%s is a token key: %v", key, err)
		}
	}
}

// fault 52, the part that needs no clock: times that contradict one another.
func TestFault52Times(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*registry.Revocation)
		slug string
	}{
		{"ends after it begins", func(r *registry.Revocation) { r.Until = now + 1 }, ""},
		{"ends when it begins", func(r *registry.Revocation) { r.Until = now }, "value:until"},
		{"ends before it begins", func(r *registry.Revocation) { r.Until = now - 1 }, "value:until"},
		{"ends in 1970", func(r *registry.Revocation) { r.Until = 1 }, "value:until"},
		{"cutoff in the past", func(r *registry.Revocation) { r.Cutoff = now - 86400 }, ""},
		{"cutoff in 60 s", func(r *registry.Revocation) { r.Cutoff = now + 60 }, ""},
		{"cutoff in 61 s", func(r *registry.Revocation) { r.Cutoff = now + 61 }, "value:cutoff"},
		{"cutoff in an hour", func(r *registry.Revocation) { r.Cutoff = now + 3600 }, "value:cutoff"},
		{"cutoff in 1970", func(r *registry.Revocation) { r.Cutoff = 1 }, "value:cutoff"},
		{"cutoff negative", func(r *registry.Revocation) { r.Cutoff = -1 }, "value:cutoff"},
		{"a revocation that ends", func(r *registry.Revocation) { r.Action = registry.Revoke }, "unwanted:until"},
		{"a reinstatement that ends", func(r *registry.Revocation) { r.Action = registry.Reinstate }, "unwanted:until"},
	} {
		r := revocation()
		tc.edit(&r)
		if _, err := registry.SignRevocation(fixedKey(1), r); registry.Slug(err) != tc.slug {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for _, member := range []string{`"exp":1790000060`, `"exp":1`, `"nbf":1790000000`} {
		raw := fixedKey(1).Sign(string(registry.KindView), []byte(with(viewJSON, member)))
		if _, err := registry.ParseRecord([]byte(raw)); !strings.HasPrefix(registry.Slug(err), "unwanted:") {
			t.Errorf("%s: %v", member, err)
		}
	}
}
