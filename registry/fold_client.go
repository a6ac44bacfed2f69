// SPDX-License-Identifier: Apache-2.0

package registry

import "slices"

// foldClient puts the home's word and the others' together (rules 16 to 19).
func (f *folder) foldClient(id string, d *dossier) ClientState {
	h := foldHistory(id, d)
	c := h.state
	for _, s := range d.foreign {
		if s.Issuer != c.Home { // rule 6
			c.Cutoff = max(c.Cutoff, s.Revocation.Cutoff)
		}
	}
	switch ban := f.ban(c.Home, d.votes); {
	case h.revoke != nil:
		c.stop(ClientRevoked, h.revoke)
	case ban != nil:
		c.stop(ClientRevoked, ban...)
	case h.disputed != nil:
		c.stop(ClientDisputed, h.disputed...)
		c.Reason = ""
	default:
		c.suspend(f.alive(c.Home, h, d.foreign))
	}
	return c
}

// stop sets status, reason and time by the records that justify it, of which
// the latest completed it.
func (c *ClientState) stop(status ClientStatus, because ...*Record) {
	c.Status, c.Because = status, because
	for _, r := range because {
		c.Since = max(c.Since, r.IssuedAt)
	}
	if r := because[0].Revocation; r != nil {
		c.Reason = r.Reason
	}
}

// suspend takes the suspensions that hold, the home's first. Together they end
// with the last of them.
func (c *ClientState) suspend(alive []*Record) {
	c.Status = ClientActive
	if len(alive) == 0 {
		return
	}
	c.stop(ClientSuspended, alive...)
	open := false
	for _, s := range alive {
		c.Since = min(c.Since, s.IssuedAt)
		c.Until = max(c.Until, s.Revocation.Until)
		open = open || s.Revocation.Until == 0
	}
	if open {
		c.Until = 0
	}
}

// alive lists the suspensions that hold now: the home's, then others' in the
// order of their time.
func (f *folder) alive(home string, h history, foreign []*Record) []*Record {
	var alive []*Record
	for _, s := range []*Record{h.suspension, h.beyond} {
		if s != nil && (s.Revocation.Until == 0 || s.Revocation.Until > f.now) {
			alive = append(alive, s)
		}
	}
	own := len(alive)
	for _, s := range foreign {
		m, _ := f.chain.Member(s.Issuer)
		if s.Issuer != home && m.State == MemberActive && s.Revocation.Until > f.now {
			alive = append(alive, s)
		}
	}
	slices.SortFunc(alive[own:], byTime)
	return alive
}
