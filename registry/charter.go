// SPDX-License-Identifier: Apache-2.0

package registry

// Charter defines a federation. A federation is named by the CID of its first.
// docs/spec/charter.md is the specification of the format.
//
// Every member that counts seconds, clients or signatures must be there, so
// that a misspelt name is refused and never read as "none"; only the two quorums
// may be left out, which means more than half, as a threshold of 0 does.
type Charter struct {
	Name             string   `json:"name"`
	Version          int64    `json:"version"`            // 1, 2, 3 …
	Previous         string   `json:"previous,omitempty"` // CID of the version before; absent in version 1
	IssuedAt         int64    `json:"iat"`
	Members          []Member `json:"members"`
	Threshold        int      `json:"threshold"`               // approvals that a charter needs; 0: more than half of the active members, 1 of one or two
	ViewQuorum       int      `json:"view_quorum,omitempty"`   // 0: more than half of the active members, 1 of one or two
	BanThreshold     int      `json:"ban_threshold,omitempty"` // 0: more than half of the active members
	MaxSuspension    int64    `json:"max_suspension"`          // seconds
	SuspensionQuota  int      `json:"suspension_quota"`
	MaxAge           int64    `json:"max_age"` // seconds
	ClientsPerMember int64    `json:"clients_per_member"`
}

// Member is one broker of a federation.
type Member struct {
	Issuer string      `json:"issuer"`
	State  MemberState `json:"state"`
	Keys   []MemberKey `json:"keys"` // oldest first; the last is current
}

// MemberState is what the charter says of a member.
type MemberState string

// States of a member.
const (
	MemberActive    MemberState = "active"
	MemberSuspended MemberState = "suspended"
	MemberExpelled  MemberState = "expelled"
)

// MemberKey is one record key of a member, cut by position in its log and not
// by time, so that a thief cannot backdate.
type MemberKey struct {
	Key   JWK    `json:"key"`
	From  int64  `json:"from"`            // first log index that it may sign
	Until *int64 `json:"until,omitempty"` // first log index that it may no longer sign; nil: current
}

// signs reports whether the key may sign the record at index; -1 stands for a
// record that is in no log yet, which only the current key signs.
func (k MemberKey) signs(index int64) bool {
	if index < 0 {
		return k.Until == nil
	}
	return k.From <= index && (k.Until == nil || index < *k.Until)
}

func (c *Charter) active() int {
	n := 0
	for _, m := range c.Members {
		if m.State == MemberActive {
			n++
		}
	}
	return n
}

// threshold is how many approvals a charter needs.
func (c *Charter) threshold() int {
	if c.Threshold != 0 {
		return c.Threshold
	}
	return c.majority()
}

// viewQuorum is how many members must agree on a stop list.
func (c *Charter) viewQuorum() int {
	if c.ViewQuorum != 0 {
		return c.ViewQuorum
	}
	return c.majority()
}

// majority is more than half of the active members, and 1 of one or two, so
// that of two either one can go on without the other.
func (c *Charter) majority() int {
	active := c.active()
	if active <= 2 {
		return 1
	}
	return active/2 + 1
}

// banThreshold is how many members together stop a client for good.
func (c *Charter) banThreshold() int {
	if c.BanThreshold != 0 {
		return c.BanThreshold
	}
	return c.active()/2 + 1
}
