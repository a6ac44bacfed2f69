// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/comity-network/comity/registry"
)

// dhtFinding is a value of the DHT that was verified: exactly one part is set.
// Findings are immutable.
type dhtFinding struct {
	client  *Sighting
	log     *LogSighting
	charter *registry.SignedCharter
	rank    dhtRank
}

// dhtRank orders the values of one key, the first number that differs decides.
// Two values of one rank are equally good.
type dhtRank [5]int64

func (r dhtRank) compare(other dhtRank) int { return slices.Compare(r[:], other[:]) }

// verifyValue checks a value by the charters alone: whoever holds the chain
// comes to the same result. The error is registry.ErrForm, ErrLimit,
// ErrSignature, or ErrNotFound where the charters do not reach far enough.
func verifyValue(chain *registry.Chain, federation string, key dhtKey, raw []byte) (*dhtFinding, error) {
	if key.space == spaceCharter {
		return verifyCharterValue(chain, federation, key.version, raw)
	}
	if chain == nil {
		return nil, fmt.Errorf("%w: no charter is known to judge %s by", registry.ErrNotFound, key)
	}
	if key.space == spaceLog {
		return verifyLogValue(chain, key.name, raw)
	}
	return verifyClientValue(chain, key.name, raw)
}

// verifyCharterValue accepts a version that the version before approves: one
// that is known, or the next one. A rival of a known version is a finding too.
func verifyCharterValue(chain *registry.Chain, federation string, version int64, raw []byte) (*dhtFinding, error) {
	c, err := registry.ParseCharter(raw)
	if err != nil {
		return nil, err
	}
	if version > 0 && c.Version != version {
		return nil, fmt.Errorf("%w: charter version %d under the key of version %d", registry.ErrForm, c.Version, version)
	}
	if err := checkStep(chain, federation, c); err != nil {
		return nil, err
	}
	return &dhtFinding{charter: c, rank: dhtRank{c.Version, int64(len(c.Signers))}}, nil
}

// checkStep checks a charter against the version before it, as if nothing after
// that were known.
func checkStep(chain *registry.Chain, federation string, c *registry.SignedCharter) error {
	if c.Version == 1 {
		if c.CID != federation {
			return fmt.Errorf("%w: charter %s is the first of another federation than %s", registry.ErrForm, c.CID, federation)
		}
		_, err := registry.NewChain(c)
		return err
	}
	if chain == nil || chain.Latest().Version < c.Version-1 {
		return fmt.Errorf("%w: charter version %d follows on versions that are not known", registry.ErrNotFound, c.Version)
	}
	before, err := registry.NewChain(chain.Version(1))
	for v := int64(2); err == nil && v < c.Version; v++ {
		before, err = before.Extend(chain.Version(v))
	}
	if err != nil {
		return err
	}
	_, err = before.Extend(c)
	return err
}

func verifyLogValue(chain *registry.Chain, log string, raw []byte) (*dhtFinding, error) {
	var v logValue
	if err := decodeValue(raw, maxLogValue, &v); err != nil {
		return nil, err
	}
	member, _, ok := chain.MemberByKey(log)
	if !ok || logOf(member) != log {
		return nil, fmt.Errorf("%w: %s is not the log of a member", registry.ErrNotFound, log)
	}
	found := &LogSighting{Issuer: member.Issuer}
	var err error
	if found.Checkpoint, err = openHead([]byte(v.Checkpoint), member); err != nil {
		return nil, err
	}
	r := dhtRank{found.Checkpoint.Size}
	if v.Broker != nil {
		if found.Broker, err = verifyBroker(chain, member, *v.Broker, found.Checkpoint); err != nil {
			return nil, err
		}
		r[1] = v.Broker.index() + 1
	}
	return &dhtFinding{log: found, rank: r}, nil
}

func verifyBroker(chain *registry.Chain, m registry.Member, p placedRecord, head *registry.Checkpoint) (*registry.Record, error) {
	record, err := registry.ParseRecord([]byte(p.Record), registry.KindBroker)
	if err != nil {
		return nil, err
	}
	return record, verifyPlaced(chain, m, record, p, head)
}

// openHead opens a checkpoint of a member's log, signed by a key that could
// sign a log of that length.
func openHead(raw []byte, m registry.Member) (*registry.Checkpoint, error) {
	c, err := openCheckpoint(raw, m)
	if err != nil {
		return nil, err
	}
	for _, k := range m.Keys {
		if k.Key.KeyID == c.KeyID && k.Until != nil && c.Size > *k.Until {
			return nil, fmt.Errorf("%w: the key of the checkpoint of %s was ended at %d, the log has %d entries", registry.ErrSignature, m.Issuer, *k.Until, c.Size)
		}
	}
	return c, nil
}

// verifyPlaced checks a record that stands in the log of a member under head:
// author, signature by the key that was valid there, and inclusion.
func verifyPlaced(chain *registry.Chain, m registry.Member, r *registry.Record, p placedRecord, head *registry.Checkpoint) error {
	if r.Issuer != m.Issuer {
		return fmt.Errorf("%w: a record of %s in the log of %s", registry.ErrForm, r.Issuer, m.Issuer)
	}
	if p.index() < 0 {
		return fmt.Errorf("%w: a record without its place in the log", registry.ErrForm)
	}
	key, ok := chain.KeyAt(m.Issuer, p.index())
	if !ok {
		return noKey(m.Issuer)
	}
	if err := p.included(head); err != nil {
		return err
	}
	return r.Verify(key)
}

func noKey(issuer string) error {
	return fmt.Errorf("%w: the charter has no key of %s for the place of the record", registry.ErrSignature, issuer)
}

func verifyClientValue(chain *registry.Chain, id string, raw []byte) (*dhtFinding, error) {
	var v clientValue
	if err := decodeValue(raw, maxClientValue, &v); err != nil {
		return nil, err
	}
	s := &Sighting{ID: id}
	var err error
	if s.Registration, err = registry.ParseRecord([]byte(v.Registration.Record), registry.KindRegistration); err != nil {
		return nil, err
	}
	s.First, s.Index = s.Registration, v.Registration.index()
	if v.First != "" {
		if s.First, err = registry.ParseRecord([]byte(v.First), registry.KindRegistration); err != nil {
			return nil, err
		}
	}
	if err := s.checkNames(v.First != ""); err != nil {
		return nil, err
	}
	home, ok := chain.Member(s.First.Issuer)
	if !ok {
		return nil, fmt.Errorf("%w: client %s was registered by %s, which is no member", registry.ErrNotFound, id, s.First.Issuer)
	}
	if s.Checkpoint, err = openHead([]byte(v.Checkpoint), home); err != nil {
		return nil, err
	}
	if err := verifyPlaced(chain, home, s.Registration, v.Registration, s.Checkpoint); err != nil {
		return nil, err
	}
	if err := verifyFirst(chain, s.First, s.Index); err != nil {
		return nil, err
	}
	if err := s.takeStops(chain, home, v.Stops); err != nil {
		return nil, err
	}
	return &dhtFinding{client: s, rank: s.rank()}, nil
}

// checkNames: the client is named by its first record (fault 46), and the
// newest registration is by the same home and of the same client.
func (s *Sighting) checkNames(two bool) error {
	if err := registry.CheckCID(s.ID, []byte(s.First.Raw)); err != nil {
		return err
	}
	if s.First.Registration.Sequence != 0 || s.Registration.ClientID() != s.ID ||
		s.Registration.Issuer != s.First.Issuer || two != (s.Registration.Registration.Sequence > 0) {
		return fmt.Errorf("%w: the registration is not the one of client %s", registry.ErrForm, s.ID)
	}
	s.Home = s.First.Issuer
	return nil
}

// verifyFirst checks the signature of a client's first record by a key that its
// home had before the registration at index.
func verifyFirst(chain *registry.Chain, first *registry.Record, index int64) error {
	m, key, ok := chain.MemberByKey(first.KeyID)
	if !ok || m.Issuer != first.Issuer || key.From > index {
		return noKey(first.Issuer)
	}
	pub, err := key.Key.PublicKey()
	if err != nil {
		return err
	}
	return first.Verify(pub)
}

// takeStops checks the stop records: sorted by CID, and of each author only
// what says something of its own.
func (s *Sighting) takeStops(chain *registry.Chain, home registry.Member, stops []placedRecord) error {
	if len(stops) > maxDHTStops {
		return fmt.Errorf("%w: %w: %d stop records, at most %d are allowed", registry.ErrForm, registry.ErrLimit, len(stops), maxDHTStops)
	}
	said, byHome, last := map[string]bool{}, 0, ""
	for _, p := range stops {
		r, err := registry.ParseRecord([]byte(p.Record), registry.KindRegistration, registry.KindRevocation)
		if err != nil {
			return err
		}
		if r.CID <= last || r.ClientID() != s.ID {
			return fmt.Errorf("%w: the stop records are not sorted, or about another client", registry.ErrForm)
		}
		last = r.CID
		if r.Issuer == s.Home {
			byHome++
			err = s.takeHomeStop(chain, home, r, p)
		} else {
			err = takeForeignStop(chain, r, p, said)
		}
		if err != nil {
			return err
		}
		s.Stops = append(s.Stops, r)
	}
	if byHome > maxHomeStops {
		return fmt.Errorf("%w: %w: %d stop records of the home, at most %d are allowed", registry.ErrForm, registry.ErrLimit, byHome, maxHomeStops)
	}
	return s.checkContradictions()
}

// takeHomeStop: a suspension or revocation counts on its signature, a
// reinstatement only in the log.
func (s *Sighting) takeHomeStop(chain *registry.Chain, home registry.Member, r *registry.Record, p placedRecord) error {
	if p.Index != nil {
		return verifyPlaced(chain, home, r, p, s.Checkpoint)
	}
	if v := r.Revocation; v != nil && (v.Sequence == 0 || v.Action == registry.Reinstate) {
		return fmt.Errorf("%w: a %s of the home without its place in the log", registry.ErrForm, v.Action)
	}
	return verifyLoose(chain, r)
}

// takeForeignStop: what the charter that it names lets a member say of another's
// client, once each.
func takeForeignStop(chain *registry.Chain, r *registry.Record, p placedRecord, said map[string]bool) error {
	v := r.Revocation
	if v == nil || v.Sequence != 0 || v.Action == registry.Reinstate || p.Index != nil || len(p.Proof) > 0 {
		return fmt.Errorf("%w: a record of %s that cannot stop another's client", registry.ErrForm, r.Issuer)
	}
	if said[r.Issuer+" "+string(v.Action)] {
		return fmt.Errorf("%w: two records of %s that say the same", registry.ErrForm, r.Issuer)
	}
	said[r.Issuer+" "+string(v.Action)] = true
	named := chain.ByCID(v.Charter)
	if named == nil {
		return fmt.Errorf("%w: a stop names a charter that is not known", registry.ErrNotFound)
	}
	if v.Action == registry.Suspend && (v.Until <= r.IssuedAt || v.Until > r.IssuedAt+named.MaxSuspension) {
		return fmt.Errorf("%w: a suspension by %s longer than the charter allows", registry.ErrForm, r.Issuer)
	}
	return verifyLoose(chain, r)
}

// verifyLoose checks a record outside of a log: by its author's current key.
func verifyLoose(chain *registry.Chain, r *registry.Record) error {
	key, ok := chain.CurrentKey(r.Issuer)
	if !ok {
		return noKey(r.Issuer)
	}
	return r.Verify(key)
}

// checkContradictions: a registration stands among the stops only as half of
// the proof that its home contradicts itself.
func (s *Sighting) checkContradictions() error {
	proof := s.contradictions()
	for _, r := range s.Stops {
		if r.Registration != nil && !slices.Contains(proof, r) {
			return fmt.Errorf("%w: registration %s contradicts nothing and is no stop", registry.ErrForm, r.CID)
		}
	}
	return nil
}

// rank: a stop goes before none, above all a final one; then what the home said
// last; then more stops; then the longer log.
func (s *Sighting) rank() dhtRank {
	r := dhtRank{0, 0, s.Registration.Registration.Sequence, int64(len(s.Stops)), s.Checkpoint.Size}
	if len(s.Stops) > 0 {
		r[0] = 1
	}
	if len(s.contradictions()) > 0 {
		r[0] = 2
	}
	for _, v := range s.Stops {
		final := v.Revocation != nil && v.Revocation.Action == registry.Revoke
		switch {
		case final && v.Issuer == s.Home:
			r[0] = 3
		case final:
			r[0] = max(r[0], 2)
		}
	}
	for _, h := range s.ofHome() {
		r[1] = max(r[1], sequence(h))
	}
	return r
}

// ofHome are the home's records, by seq and CID.
func (s *Sighting) ofHome() []*registry.Record {
	all := []*registry.Record{s.First}
	if s.Registration.CID != s.First.CID {
		all = append(all, s.Registration)
	}
	for _, r := range s.Stops {
		if r.Issuer == s.Home {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *registry.Record) int {
		return cmp.Or(cmp.Compare(sequence(a), sequence(b)), cmp.Compare(a.CID, b.CID))
	})
	return slices.CompactFunc(all, func(a, b *registry.Record) bool { return a.CID == b.CID })
}

func sequence(r *registry.Record) int64 {
	if r.Registration != nil {
		return r.Registration.Sequence
	}
	return r.Revocation.Sequence
}

func previous(r *registry.Record) string {
	if r.Registration != nil {
		return r.Registration.Previous
	}
	return r.Revocation.Previous
}

// contradictions are the records by which the home contradicts itself: two of
// one seq, or one that does not follow the one before it.
func (s *Sighting) contradictions() []*registry.Record {
	var proof []*registry.Record
	all := s.ofHome()
	for i, r := range all {
		for _, before := range all[:i] {
			same := sequence(before) == sequence(r)
			next := sequence(before)+1 == sequence(r)
			if same || next && previous(r) != before.CID {
				proof = append(proof, before, r)
			}
		}
	}
	return proof
}
