// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"testing"

	"github.com/comity-network/comity/registry"
)

func newChain(t testing.TB, first *registry.SignedCharter) *registry.Chain {
	t.Helper()
	c, err := registry.NewChain(first)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// chainOf is a federation of members 1 to n.
func chainOf(t testing.TB, n byte) *registry.Chain {
	t.Helper()
	return newChain(t, signCharter(t, charterOf(n), 1))
}

// successor is the payload of the version after s, for a test to change.
func successor(s *registry.SignedCharter) registry.Charter {
	c := s.Charter
	c.Version++
	c.Previous = s.CID
	c.IssuedAt += 1000
	c.Members = nil
	for _, m := range s.Members {
		m.Keys = append([]registry.MemberKey(nil), m.Keys...)
		c.Members = append(c.Members, m)
	}
	return c
}

// extend adds a version that differs by change, signed by members.
func extend(t testing.TB, chain *registry.Chain, change func(*registry.Charter), signers ...byte) *registry.Chain {
	t.Helper()
	c := successor(chain.Latest())
	change(&c)
	grown, err := chain.Extend(signCharter(t, c, signers...))
	if err != nil {
		t.Fatal(err)
	}
	return grown
}

func unchanged(*registry.Charter) {}

func TestChainThresholds(t *testing.T) {
	c := charterOf(4)
	c.Threshold = 2
	if _, err := registry.NewChain(signCharter(t, c, 1)); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("first charter with one approval of two: %v", err)
	}
	chain := newChain(t, signCharter(t, c, 1, 2))
	for _, test := range []struct {
		name    string
		change  func(*registry.Charter)
		signers []byte
		want    error
	}{
		{"two of four", unchanged, []byte{3, 4}, nil},
		{"one of four", unchanged, []byte{3}, registry.ErrSignature},
		{"a higher threshold binds itself", func(c *registry.Charter) { c.Threshold = 3 }, []byte{1, 2}, registry.ErrSignature},
		{"and is met", func(c *registry.Charter) { c.Threshold = 3 }, []byte{1, 2, 3}, nil},
		{"a lower threshold needs the old one", func(c *registry.Charter) { c.Threshold = 1 }, []byte{1}, registry.ErrSignature},
		{"a newcomer does not count for the old version", func(c *registry.Charter) { c.Members = append(c.Members, member(5)) }, []byte{1, 5}, registry.ErrSignature},
		{"but for the new one", func(c *registry.Charter) {
			c.Members, c.Threshold = append(c.Members, member(5)), 3
		}, []byte{1, 2, 5}, nil},
		{"a suspended one does not count for the new version", func(c *registry.Charter) { c.Members[0].State = registry.MemberSuspended }, []byte{1, 2}, registry.ErrSignature},
		{"who is suspended need not agree", func(c *registry.Charter) { c.Members[0].State = registry.MemberSuspended }, []byte{2, 3}, nil},
		{"a rotated key counts for its own version only", rotate(0, 11), []byte{1, 2}, registry.ErrSignature},
		{"old and new key sign", rotate(0, 11), []byte{1, 11, 2}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			next := successor(chain.Latest())
			test.change(&next)
			grown, err := chain.Extend(signCharter(t, next, test.signers...))
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err == nil && (grown.Latest().Version != 2 || chain.Latest().Version != 1) {
				t.Error("Extend changed the old chain, or not the new one")
			}
		})
	}
}

// rotate ends the current key of a member at log index 5 for fixedKey(key).
func rotate(place int, key byte) func(*registry.Charter) {
	return func(c *registry.Charter) {
		keys := c.Members[place].Keys
		keys[len(keys)-1].Until = until(5)
		c.Members[place].Keys = append(keys, registry.MemberKey{Key: fixedKey(key).JWK(), From: 5})
	}
}

func TestChainKeepsThePast(t *testing.T) {
	chain := extend(t, chainOf(t, 3), rotate(0, 11), 2)
	chain = extend(t, chain, expel(2, 9), 2)
	for name, change := range map[string]func(*registry.Charter){
		"the end of an expelled member moves": func(c *registry.Charter) { c.Members[2].Keys[0].Until = until(10) },
		"an expelled member's key comes back": func(c *registry.Charter) {
			c.Members[2].State, c.Members[2].Keys[0].Until = registry.MemberActive, nil
		},
		"a member is left out": func(c *registry.Charter) { c.Members = c.Members[:2] },
		"an ended key ends elsewhere": func(c *registry.Charter) {
			c.Members[0].Keys[0].Until, c.Members[0].Keys[1].From = until(6), 6
		},
		"a key is replaced":  func(c *registry.Charter) { c.Members[0].Keys[0].Key = fixedKey(12).JWK() },
		"a key is dropped":   func(c *registry.Charter) { c.Members[0].Keys = c.Members[0].Keys[:1]; c.Members[0].Keys[0].Until = nil },
		"the time goes back": func(c *registry.Charter) { c.IssuedAt -= 2000 },
		"a key is put in front": func(c *registry.Charter) {
			c.Members[0].Keys[0], c.Members[0].Keys[1] = c.Members[0].Keys[1], c.Members[0].Keys[0]
		},
	} {
		next := successor(chain.Latest())
		change(&next)
		s, err := registry.NewCharter(next, fixedKey(2))
		if err != nil {
			continue // not even a charter
		}
		if _, err := chain.Extend(s); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChainConflict(t *testing.T) {
	chain := chainOf(t, 3)
	one := successor(chain.Latest())
	two := successor(chain.Latest())
	two.MaxAge = 60
	a, b := signCharter(t, one, 1), signCharter(t, two, 2)
	first, err := chain.Extend(a)
	if err != nil {
		t.Fatal(err)
	}
	frozen, err := first.Extend(b)
	if !errors.Is(err, registry.ErrConflict) {
		t.Fatal(err)
	}
	x, y, found := frozen.Conflict()
	if !found || x.CID != a.CID || y.CID != b.CID || frozen.Latest().CID != a.CID {
		t.Errorf("evidence %v %v %v, latest version is %s", x, y, found, frozen.Latest().CID)
	}
	if _, _, found := first.Conflict(); found {
		t.Error("Extend changed the chain that it was called on")
	}
	if _, err := frozen.Extend(signCharter(t, successor(a), 1)); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a frozen chain grows: %v", err)
	}
	// More signatures of what is known are still welcome.
	more, err := frozen.Extend(signCharter(t, one, 3))
	if err != nil || len(more.Version(2).Signers) != 2 {
		t.Errorf("signatures of a known version: %v", err)
	}
	if _, _, found := more.Conflict(); !found {
		t.Error("the evidence is lost")
	}
	// An invalid rival freezes nothing.
	two.Name = "Rival"
	two.Threshold = 2
	if same, err := first.Extend(signCharter(t, two, 2)); !errors.Is(err, registry.ErrSignature) || same != first {
		t.Errorf("a rival without approval: %v", err)
	}
}

func TestChainMissingAndForeign(t *testing.T) {
	chain := chainOf(t, 3)
	two := extend(t, chain, unchanged, 1)
	three := extend(t, two, unchanged, 1)
	if _, err := chain.Extend(three.Latest()); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a version is skipped: %v", err)
	}
	if same, err := three.Extend(two.Latest()); err != nil || same != three {
		t.Errorf("a known version: %v", err)
	}
	other := charterOf(3)
	other.Name = "Another Federation"
	if _, err := three.Extend(signCharter(t, other, 1)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another federation: %v", err)
	}
	if _, err := registry.NewChain(two.Latest()); err == nil {
		t.Error("a chain begins with version 2")
	}
	if three.Federation() != chain.Latest().CID || three.Version(2).CID != two.Latest().CID || three.Version(0) != nil ||
		three.Version(4) != nil || three.ByCID(two.Latest().CID) == nil || three.ByCID("x") != nil {
		t.Error("versions are not found by number and CID")
	}
}

func TestChainMembersAndKeys(t *testing.T) {
	chain := extend(t, chainOf(t, 3), func(c *registry.Charter) {
		rotate(0, 11)(c)
		c.Members[2].State, c.Members[2].Keys[0].Until = registry.MemberExpelled, until(9)
	}, 2)
	for _, test := range []struct {
		member byte
		index  int64
		key    byte // 0: none
	}{
		{1, 0, 1}, {1, 4, 1}, {1, 5, 11}, {1, 1 << 40, 11}, {1, -1, 11},
		{2, 0, 2}, {2, -1, 2}, {3, 8, 3}, {3, 9, 0}, {3, -1, 0}, {4, 0, 0},
	} {
		key, ok := chain.KeyAt(issuerOf(test.member), test.index)
		if ok != (test.key != 0) || ok && !key.Equal(fixedKey(test.key).Public()) {
			t.Errorf("key of member %d at %d: %v, want %d", test.member, test.index, key, test.key)
		}
	}
	if key, ok := chain.CurrentKey(issuerOf(1)); !ok || !key.Equal(fixedKey(11).Public()) {
		t.Error("current key of member 1")
	}
	if m, k, ok := chain.MemberByKey(fixedKey(1).ID()); !ok || m.Issuer != issuerOf(1) || k.Until == nil {
		t.Error("member by an ended key")
	}
	if _, _, ok := chain.MemberByKey(fixedKey(9).ID()); ok {
		t.Error("member by a stranger's key")
	}
	if len(chain.ActiveMembers()) != 2 {
		t.Error("active members")
	}
}

// A threshold of 0 is more than half of the active members, and 1 of one or
// two. A newcomer's own approval counts for the version that admits it.
func TestDefaultThreshold(t *testing.T) {
	for n, want := range map[byte]int{1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 9: 5} {
		c := charterOf(n)
		c.Threshold = 0
		var signers []byte
		for i := range byte(want) {
			signers = append(signers, i+1)
		}
		if want > 1 {
			if _, err := registry.NewChain(signCharter(t, c, signers[1:]...)); !errors.Is(err, registry.ErrSignature) {
				t.Errorf("%d members, %d approvals: %v", n, want-1, err)
			}
		}
		if chain := newChain(t, signCharter(t, c, signers...)); chain.Threshold() != want {
			t.Errorf("%d members: threshold %d, want %d", n, chain.Threshold(), want)
		}
	}
	c := charterOf(2)
	c.Threshold = 0
	chain := newChain(t, signCharter(t, c, 1))
	next := successor(chain.Latest())
	next.Members = append(next.Members, member(3))
	if _, err := chain.Extend(signCharter(t, next, 1)); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("one approval of the two that three members need: %v", err)
	}
	if _, err := chain.Extend(signCharter(t, next, 3)); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("the approval of the newcomer alone: %v", err)
	}
	if _, err := chain.Extend(signCharter(t, next, 2, 3)); err != nil {
		t.Errorf("a member and the newcomer: %v", err)
	}
	next.Members[2].State = registry.MemberSuspended
	if _, err := chain.Extend(signCharter(t, next, 2, 3)); err != nil {
		t.Errorf("a suspended newcomer: %v", err)
	}
}

func TestDefaultQuorums(t *testing.T) {
	for n, want := range map[byte][2]int{1: {1, 1}, 2: {1, 2}, 3: {2, 2}, 4: {3, 3}, 5: {3, 3}, 9: {5, 5}} {
		chain := chainOf(t, n)
		if chain.ViewQuorum() != want[0] || chain.BanThreshold() != want[1] {
			t.Errorf("%d members: view quorum %d, ban threshold %d, want %v", n, chain.ViewQuorum(), chain.BanThreshold(), want)
		}
	}
	c := charterOf(5)
	c.ViewQuorum, c.BanThreshold = 4, 2
	if chain := newChain(t, signCharter(t, c, 1)); chain.ViewQuorum() != 4 || chain.BanThreshold() != 2 {
		t.Error("explicit quorums are not used")
	}
}
