// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// members of a charter, for looking up.
type roll struct {
	byIssuer map[string]int      // position in Charter.Members
	byKey    map[string]keyPlace // by thumbprint
	keys     [][]rollKey         // of each member, in the order of its keys
}

type rollKey struct {
	kid    string
	public ed25519.PublicKey
}

// keyPlace is where a key stands in a charter.
type keyPlace struct {
	member, key int
}

// parse reads the payload of a charter and judges it alone, without the
// versions around it. Quorums of more than all, keys that two members share,
// ranges with holes and the like would let a federation be founded that can
// never act, or that one member controls (fault 80).
func (c *Charter) parse(payload []byte) (roll, error) {
	limits := strictjson.Limits{Values: charterValues, Members: MaxRecordMembers}
	err := decodeWithin(limits, payload, []field{
		{name: "name", into: &c.Name, required: true},
		{name: "version", into: &c.Version, required: true},
		{name: "previous", into: &c.Previous},
		{name: "iat", into: &c.IssuedAt, required: true},
		{name: "members", into: &c.Members, required: true},
		{name: "threshold", into: &c.Threshold, required: true, zero: true},
		{name: "view_quorum", into: &c.ViewQuorum},
		{name: "ban_threshold", into: &c.BanThreshold},
		{name: "max_suspension", into: &c.MaxSuspension, required: true},
		{name: "suspension_quota", into: &c.SuspensionQuota, required: true},
		{name: "max_age", into: &c.MaxAge, required: true},
		{name: "clients_per_member", into: &c.ClientsPerMember, required: true},
	}, ignore)
	if err != nil {
		return roll{}, err
	}
	if err := c.checkHead(); err != nil {
		return roll{}, err
	}
	r, err := c.checkMembers()
	if err != nil {
		return roll{}, err
	}
	return r, c.checkNumbers()
}

func (c *Charter) checkHead() error {
	if err := checkText("name", c.Name, MaxNameRunes); err != nil {
		return err
	}
	switch {
	case c.Version < 1 || c.Version > MaxSeq:
		return wrong(classValue, "version", "version is %d: versions count from 1 to %d", c.Version, int64(MaxSeq))
	case c.Version == 1 && c.Previous != "":
		return wrong(classUnwanted, "previous", "previous must be left out in version 1: there is none before it")
	case c.Version > 1 && c.Previous == "":
		return wrong(classMissing, "previous", "previous is missing in version %d: add the CID of the one before", c.Version)
	case c.Version > 1:
		if err := checkCID("previous", c.Previous); err != nil {
			return err
		}
	}
	return checkTime("iat", c.IssuedAt)
}

func (c *Charter) checkMembers() (roll, error) {
	if len(c.Members) > MaxMembers {
		return roll{}, wrong(classLimit, "members", "%d members, at most %d are allowed", len(c.Members), MaxMembers)
	}
	r := roll{byIssuer: make(map[string]int, len(c.Members)), byKey: make(map[string]keyPlace, len(c.Members))}
	for i, m := range c.Members {
		if err := CheckIssuer(m.Issuer); err != nil {
			return roll{}, relabel(err, "issuer")
		}
		if strings.ContainsAny(m.Issuer, "+ ") { // not in the name of a note's key
			return roll{}, wrong(classValue, "issuer", "member %d: issuer %q cannot name a log", i, m.Issuer)
		}
		if _, ok := r.byIssuer[m.Issuer]; ok {
			return roll{}, wrong("duplicate", "issuer", "member %q is listed twice", m.Issuer)
		}
		r.byIssuer[m.Issuer] = i
		if err := m.check(i, &r); err != nil {
			return roll{}, err
		}
	}
	return r, nil
}

// check judges one member and enters its keys.
func (m Member) check(place int, r *roll) error {
	if m.State != MemberActive && m.State != MemberSuspended && m.State != MemberExpelled {
		return wrong(classValue, "state", "member %q has the state %.40q: it is active, suspended or expelled", m.Issuer, m.State)
	}
	if len(m.Keys) < 1 {
		return wrong(classMissing, "keys", "member %q has no key", m.Issuer)
	}
	if len(m.Keys) > MaxMemberKeys {
		return wrong(classLimit, "keys", "member %q has %d keys, at most %d are allowed", m.Issuer, len(m.Keys), MaxMemberKeys)
	}
	if err := m.checkKeys(place, r); err != nil {
		return err
	}
	current := m.Keys[len(m.Keys)-1].Until == nil
	switch {
	case m.State == MemberActive && !current:
		return wrong(classUnwanted, "until", "member %q is active, and its last key has ended", m.Issuer)
	case m.State == MemberExpelled && current:
		// Whatever it signs from here on is void, even if it names a charter
		// of the time when it was a member.
		return wrong(classMissing, "until", "member %q is expelled: say at which log index its last key ends", m.Issuer)
	}
	return nil
}

// checkKeys judges the keys of a member: none is listed anywhere else, and
// their ranges follow on each other from the first log index on.
func (m Member) checkKeys(place int, r *roll) error {
	r.keys = append(r.keys, nil)
	next := int64(0)
	for i, k := range m.Keys {
		if err := checkBrokerKey("key", k.Key); err != nil {
			return err
		}
		public, _ := jws.Decode(k.Key.X) // canonical, as was checked just now
		kid := k.Key.KeyID
		if _, ok := r.byKey[kid]; ok {
			return wrong("duplicate", "key", "member %q, key %d: %s is listed twice", m.Issuer, i, kid)
		}
		r.byKey[kid] = keyPlace{place, i}
		r.keys[place] = append(r.keys[place], rollKey{kid, public})
		if k.From != next {
			return wrong(classValue, "from", "member %q, key %d is valid from %d: the one before ends at %d", m.Issuer, i, k.From, next)
		}
		if k.Until == nil && i != len(m.Keys)-1 {
			return wrong(classMissing, "until", "member %q, key %d has no end, and is not the last", m.Issuer, i)
		}
		if k.Until != nil {
			if next = *k.Until; next < k.From || next > MaxLogSize {
				return wrong(classValue, "until", "member %q, key %d begins at %d and ends at %d", m.Issuer, i, k.From, next)
			}
		}
	}
	return nil
}

func (c *Charter) checkNumbers() error {
	active := int64(c.active())
	if active < 1 {
		return wrong(classValue, "members", "no member is active: nobody could ever approve another charter")
	}
	for _, n := range []struct {
		name            string
		value, min, max int64
	}{
		{"threshold", int64(c.Threshold), 0, active},
		{"view_quorum", int64(c.ViewQuorum), 0, active},
		{"ban_threshold", int64(c.BanThreshold), 0, active},
		{"max_suspension", c.MaxSuspension, 1, MaxMaxSuspension},
		{"suspension_quota", int64(c.SuspensionQuota), 1, MaxSuspensionQuota},
		{"max_age", c.MaxAge, MinMaxAge, MaxMaxAge},
		{"clients_per_member", c.ClientsPerMember, 1, MaxClientsPerMember},
	} {
		if n.value < n.min || n.value > n.max {
			return wrong(classValue, n.name, "%s is %d: it must be between %d and %d (active members: %d)", n.name, n.value, n.min, n.max, active)
		}
	}
	return nil
}
