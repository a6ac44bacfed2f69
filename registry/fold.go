// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Fold gives the verdict on every broker and client: a pure function of the
// charter chain, a set of records, proofs of forks and the time. The order of
// entries and their repetition never matter. Entries were verified by the
// caller (signature; inclusion under a checkpoint, where Index is not -1), and
// so were forks.
//
// The caller may pass a part of all records, if it holds every record about
// the clients that it asks for, and every suspension made by the members that
// appear in it. docs/spec/fold.md explains the rules; tests name them.
//
// Which records count:
//
//  1. A record counts when its issuer is a member (of any state) of the newest
//     charter, and its key may sign at its log index; outside of a log, when
//     the key is the current one.
//  2. A record issued more than 10 s after now is held: it is not there yet.
//  3. One record at several places counts once, at its lowest log index.
//
// Brokers:
//
//  4. A broker is expelled or suspended when the newest charter says so, and
//     forked when it is not expelled and there is a Fork by its current key.
//  5. Its broker record is the one with the highest log index; one that is in
//     no log does not count.
//
// The home broker's word:
//
//  6. A client exists when its seq 0 registration is in a log. Its id is the
//     CID of that, its home the issuer. Registrations, and revocations with a
//     seq, of anybody else are void, and so are revocations of the home
//     without a seq.
//  7. Records take effect in the order of seq, each linked to the one before
//     by prev. A registration or reinstatement beyond a gap has no effect.
//  8. A registration or reinstatement has an effect only in a log; a
//     suspension or revocation on its signature alone, even beyond a gap.
//  9. The newest registration holds; one marked compromised makes all before
//     it void. A later suspension replaces the one before, a reinstatement
//     ends it, and it ends by itself at until.
//  10. A home's revoke is final wherever it stands: nothing after it, beside
//     it or against it changes the state.
//  11. Two different records of one seq, or one whose prev is not the record
//     before it, make the client disputed for good; both are kept as proof.
//
// The other members' word (revocations without a seq):
//
//  12. They name a charter of the chain in which their issuer is active; a
//     reinstate has no effect.
//  13. A suspension is void unless until is there and at most max_suspension
//     after iat, by the charter that it names, which is the current or the
//     previous one of its time: the version after the next was not issued
//     before it.
//  14. It is void when the same member issued another such suspension of the
//     client in the 30 days before, even one that was void itself.
//  15. It is void when suspension_quota such suspensions of the same member,
//     issued before it, were alive at its iat. (Before: by iat, then CID.)
//  16. It stops the client until then, while its member is active in the
//     newest charter. The home cannot lift it.
//  17. A client is banned, finally, when for any version of the chain
//     ban_threshold members that are active in it have each a revoke in their
//     own log that names that version or one before. So no later charter
//     undoes a ban.
//
// Together:
//
//  18. Revoked goes before disputed, disputed before suspended.
//  19. The cutoff is the latest of all of the home's suspensions, its
//     reinstatements that took effect, and others' suspensions that were not
//     void, alive or not.
//  20. A client whose home is not active is suspended with it.
//  21. A client whose id is a URL has no home and no registration: rules 6 to
//     11 and 20 say nothing of it, and all members are the other members.
func Fold(chain *Chain, entries []Entry, forks []Fork, now time.Time) *State {
	f := &folder{chain: chain, now: now.Unix(), clients: map[string]*dossier{}, brokers: map[string]Entry{}}
	f.file(entries)
	f.judgeSuspensions()
	state := &State{Brokers: f.foldBrokers(forks), Clients: make(map[string]ClientState, len(f.clients))}
	for id, d := range f.clients {
		url := IsClientURL(id)
		if url && len(d.foreign)+len(d.votes) > 0 || d.first.Record != nil && d.first.Index >= 0 {
			c := f.foldClient(id, d)
			if c.HomeStatus = state.Brokers[c.Home].Status; url {
				c.HomeStatus = BrokerActive // rule 21
			}
			if c.Status == ClientActive && c.HomeStatus != BrokerActive {
				c.Status = ClientSuspended // rule 20
			}
			state.Clients[id] = c
		}
	}
	return state
}

// folder is the work of one Fold.
type folder struct {
	chain   *Chain
	now     int64
	brokers map[string]Entry // newest broker record by issuer
	clients map[string]*dossier
	// suspensions by other members that pass rules 12 and 13, by their issuer.
	suspensions map[string][]*Record
}

// dossier is all that there is about one client.
type dossier struct {
	first   Entry     // seq 0
	history []Entry   // records with a seq of at least 1, of any issuer
	foreign []*Record // suspensions without a seq that are not void
	votes   []*Record // revokes without a seq, in a log
}

func (f *folder) dossier(id string) *dossier {
	d := f.clients[id]
	if d == nil {
		d = &dossier{first: Entry{Index: -1}}
		f.clients[id] = d
	}
	return d
}

// file sorts the records that count (rules 1 to 3) into dossiers.
func (f *folder) file(entries []Entry) {
	placed := make(map[string]Entry, len(entries))
	for _, e := range entries {
		if e.Record.IssuedAt > f.now+int64(MaxAhead/time.Second) || !f.chain.signs(e.Record.KeyID, e.Record.Issuer, e.Index) {
			continue
		}
		e.Index = max(e.Index, -1)
		// As unsigned numbers, -1 is above every place in a log.
		if old, ok := placed[e.Record.CID]; !ok || uint64(e.Index) < uint64(old.Index) {
			placed[e.Record.CID] = e
		}
	}
	f.suspensions = make(map[string][]*Record)
	for _, e := range placed {
		f.fileOne(e)
	}
}

func (f *folder) fileOne(e Entry) {
	r := e.Record
	switch {
	case r.Broker != nil:
		if old, ok := f.brokers[r.Issuer]; e.Index >= 0 && (!ok || e.Index > old.Index) {
			f.brokers[r.Issuer] = e
		}
	case r.Registration != nil && r.Registration.Sequence == 0:
		f.dossier(r.CID).first = e
	case r.Registration != nil:
		d := f.dossier(r.Registration.Client)
		d.history = append(d.history, e)
	case r.Revocation != nil && r.Revocation.Sequence > 0:
		d := f.dossier(r.Revocation.Client)
		d.history = append(d.history, e)
	case r.Revocation != nil && f.isForeignSuspension(r):
		f.suspensions[r.Issuer] = append(f.suspensions[r.Issuer], r)
	case r.Revocation != nil && r.Revocation.Action == Revoke && e.Index >= 0:
		d := f.dossier(r.Revocation.Client)
		d.votes = append(d.votes, r)
	}
}

func (f *folder) foldBrokers(forks []Fork) map[string]BrokerState {
	forked := make(map[string]bool, len(forks)) // by the thumbprint of the key
	for _, k := range forks {
		if k.Check() == nil {
			forked[k.A.KeyID+" "+k.Origin] = true
		}
	}
	charter := f.chain.Latest()
	brokers := make(map[string]BrokerState, len(charter.Members))
	for i, m := range charter.Members {
		last := len(m.Keys) - 1
		b := BrokerState{Issuer: m.Issuer, KeyID: charter.roll.keys[i][last].kid, Record: f.brokers[m.Issuer].Record, Status: BrokerActive}
		switch {
		case m.State == MemberExpelled:
			b.Status = BrokerExpelled
		case len(forked) > 0 && m.Keys[last].Until == nil && forked[b.KeyID+" "+Origin(m.Issuer)]:
			b.Status = BrokerForked
		case m.State == MemberSuspended:
			b.Status = BrokerSuspended
		}
		brokers[m.Issuer] = b
	}
	return brokers
}

// byTime is the one order of records of different authors.
func byTime(a, b *Record) int {
	return cmp.Or(cmp.Compare(a.IssuedAt, b.IssuedAt), cmp.Compare(a.CID, b.CID))
}

func sortedKeys[V any](m map[int64]V) []int64 { return slices.Sorted(maps.Keys(m)) }
