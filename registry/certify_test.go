// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

const (
	listHash  = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	otherHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// viewOf is a view of member n, so many seconds from now.
func viewOf(t testing.TB, chain *registry.Chain, n byte, at int64, hash string) *registry.Record {
	t.Helper()
	v := view()
	v.Issuer, v.IssuedAt, v.Charter, v.StopHash = issuerOf(n), now+at, chain.Latest().CID, hash
	r, err := registry.SignView(fixedKey(n), v)
	return must(t, r, err)
}

func TestCertify(t *testing.T) {
	chain := extend(t, longAgo(t), suspendMember(3), 5) // member 4; four are active, three needed
	type seen struct {
		member byte
		at     int64
		hash   string
	}
	for _, test := range []struct {
		name    string
		views   []seen
		members []byte
		quorum  int
		at      int64 // seconds from now; 1: never
		have    int
		missing []byte
	}{
		{"nobody", nil, nil, 0, 1, 0, []byte{1, 2, 3, 5}},
		{"a quorum: its third newest counts", []seen{{1, -5, listHash}, {2, -9, listHash}, {3, -7, listHash}}, nil, 0, -9, 3, []byte{5}},
		{"all: still the third newest", []seen{{1, -5, listHash}, {2, -9, listHash}, {3, -7, listHash}, {5, -1, listHash}}, nil, 0, -7, 4, nil},
		{"one too few", []seen{{1, -5, listHash}, {2, -9, listHash}}, nil, 0, 1, 2, []byte{3, 5}},
		{"another list", []seen{{1, -5, listHash}, {2, -9, listHash}, {3, -7, otherHash}}, nil, 0, 1, 2, []byte{3, 5}},
		{"one member many times", []seen{{1, -5, listHash}, {1, -6, listHash}, {1, -7, listHash}}, nil, 0, 1, 1, []byte{2, 3, 5}},
		{"its newest counts", []seen{{1, -90, listHash}, {1, -6, listHash}, {1, -80, listHash}, {2, -8, listHash}, {3, -7, listHash}}, nil, 0, -8, 3, []byte{5}},
		{"a member that is not active", []seen{{1, -5, listHash}, {2, -9, listHash}, {4, -7, listHash}}, nil, 0, 1, 2, []byte{3, 5}},
		{"a stranger", []seen{{1, -5, listHash}, {2, -9, listHash}, {9, -7, listHash}}, nil, 0, 1, 2, []byte{3, 5}},
		{"views of the future are ignored", []seen{{1, 11, listHash}, {2, 11, listHash}, {3, 11, listHash}}, nil, 0, 1, 0, []byte{1, 2, 3, 5}},
		{"those of a clock a little ahead are not", []seen{{1, 10, listHash}, {2, 10, listHash}, {3, 10, listHash}}, nil, 0, 10, 3, []byte{5}},
		{"just not too old", []seen{{1, -120, listHash}, {2, -120, listHash}, {3, -120, listHash}}, nil, 0, -120, 3, []byte{5}},
		{"certified once, and old", []seen{{1, -121, listHash}, {2, -3, listHash}, {3, -4, listHash}}, nil, 0, -121, 2, []byte{1, 5}},
		{"a site's handful", []seen{{1, -5, listHash}, {2, -9, listHash}, {3, -1, listHash}}, []byte{1, 2}, 2, -9, 2, nil},
		{"a handful names a member twice", []seen{{1, -5, listHash}}, []byte{1, 1}, 2, 1, 1, nil},
		{"a handful with an inactive member", []seen{{1, -5, listHash}, {4, -5, listHash}}, []byte{1, 4}, 2, 1, 1, nil},
		{"an empty handful", []seen{{1, -5, listHash}}, []byte{}, 1, 1, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var views []*registry.Record
			for _, v := range test.views {
				views = append(views, viewOf(t, chain, v.member, v.at, v.hash))
			}
			var members []string
			if test.members != nil {
				members = []string{}
			}
			for _, n := range test.members {
				members = append(members, issuerOf(n))
			}
			c := registry.Certify(chain, views, listHash, 0, members, test.quorum, at0)
			if test.at == 1 {
				if c.At != 0 || c.Fresh(at0, 120) {
					t.Errorf("certified at %d", c.At-now)
				}
			} else if c.At != now+test.at {
				t.Errorf("certified at %d, want %d", c.At-now, test.at)
			}
			var missing []string
			for _, n := range test.missing {
				missing = append(missing, issuerOf(n))
			}
			if c.Have != test.have || !slices.Equal(c.Missing, missing) {
				t.Errorf("have %d, missing %v; want %d, %v", c.Have, c.Missing, test.have, missing)
			}
		})
	}
	views := []*registry.Record{viewOf(t, chain, 1, -5, listHash), viewOf(t, chain, 2, -5, listHash)}
	c := registry.Certify(chain, views, listHash, 0, nil, 0, at0)
	if got := c.String(); got != "views of 2 of 4 members, 3 needed" {
		t.Error(got)
	}
	if c := registry.Certify(chain, views, listHash, 1, nil, 1, at0); c.At != 0 {
		t.Error("the number of lines is not compared")
	}
	next := extend(t, chain, unchanged, 5)
	if c := registry.Certify(next, views, listHash, 0, nil, 1, at0); c.At != 0 {
		t.Error("views of another charter count")
	}
}

func TestFresh(t *testing.T) {
	c := registry.Certification{At: now - 100}
	if !c.Fresh(time.Unix(now+20, 0), 120) || c.Fresh(time.Unix(now+21, 0), 120) {
		t.Error("fresh until At + max_age, and no longer")
	}
}

func TestVerifyView(t *testing.T) {
	chain := extend(t, longAgo(t), suspendMember(3), 5)
	chain = extend(t, chain, rotate(0, 11), 5)
	byNewKey := view()
	byNewKey.Issuer, byNewKey.IssuedAt = issuerOf(1), now
	good, err := registry.SignView(fixedKey(11), byNewKey)
	must(t, good, err)
	forged := *viewOf(t, chain, 2, 0, listHash)
	forged.Raw = forged.Raw[:len(forged.Raw)-10] + "AAAAAAAAAA"
	stop, err := registry.SignRevocation(fixedKey(2), revocation())
	must(t, stop, err)
	stolen := view()
	stolen.Issuer = issuerOf(2)
	inAnothersName, err := registry.SignView(fixedKey(3), stolen)
	must(t, inAnothersName, err)
	for _, test := range []struct {
		name string
		view *registry.Record
		want error
	}{
		{"good", viewOf(t, chain, 2, 0, listHash), nil},
		{"by the new key", good, nil},
		{"by the ended key (fault 51)", viewOf(t, chain, 1, 0, listHash), registry.ErrSignature},
		{"of a suspended member", viewOf(t, chain, 4, 0, listHash), registry.ErrNotFound},
		{"of a stranger", viewOf(t, chain, 9, 0, listHash), registry.ErrNotFound},
		{"in another member's name", inAnothersName, registry.ErrSignature},
		{"forged", &forged, registry.ErrSignature},
		{"another record", stop, registry.ErrForm},
	} {
		if err := chain.VerifyView(test.view); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
