// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/comity-network/comity/registry"
)

// Sighting is what the DHT showed of one client, all of it verified. It is what
// some members said, not all that is true: a stop in it is real, and a stop
// that is missing from it proves nothing.
type Sighting struct {
	ID           string
	Home         string               // issuer of the home broker
	First        *registry.Record     // the registration with seq 0
	Registration *registry.Record     // the newest one that was shown
	Index        int64                // its place in the home's log
	Checkpoint   *registry.Checkpoint // of the home's log
	// Stops are revocations of the client, reinstatements among them, and
	// registrations by which the home contradicts itself; by CID.
	Stops []*registry.Record
}

// LogSighting is what the DHT showed of one member, all of it verified.
type LogSighting struct {
	Issuer     string
	Checkpoint *registry.Checkpoint
	Broker     *registry.Record // the newest broker record that was shown; nil: none
}

// Stopped returns the records by which the client is stopped at the time now,
// as far as was shown; the home's own state is not judged. It errs on the side
// of the stop: votes to revoke count on their signature, and none is forgotten
// for a quota. An empty result is not "active": ask a replica for that.
func (s *Sighting) Stopped(chain *registry.Chain, now time.Time) []*registry.Record {
	if proof := s.contradictions(); len(proof) > 0 {
		return proof
	}
	var stops, votes []*registry.Record
	for _, r := range s.Stops {
		v := r.Revocation
		member, _ := chain.Member(r.Issuer)
		switch {
		case v.Action == registry.Revoke && r.Issuer == s.Home:
			return []*registry.Record{r}
		case member.State != registry.MemberActive || r.Issuer == s.Home:
		case v.Action == registry.Revoke:
			votes = append(votes, r)
		case v.Until > now.Unix():
			stops = append(stops, r)
		}
	}
	if len(votes) >= chain.BanThreshold() {
		return votes
	}
	if last := s.lastWord(); last != nil && last.Revocation.Action == registry.Suspend &&
		(last.Revocation.Until == 0 || last.Revocation.Until > now.Unix()) {
		stops = append(stops, last)
	}
	return stops
}

// lastWord is the home's revocation with the highest seq.
func (s *Sighting) lastWord() *registry.Record {
	for _, r := range slices.Backward(s.ofHome()) {
		if r.Revocation != nil {
			return r
		}
	}
	return nil
}

// mergeSightings puts together what several peers showed: the newest registration and
// every stop. So one honest answer among many is enough to learn of a stop. The
// error is registry.ErrFork when the home signed two histories.
func mergeSightings(seen []*Sighting) (*Sighting, error) {
	var err error
	m := *seen[0]
	m.Stops = slices.Clone(m.Stops)
	for _, s := range seen {
		if fork := registry.CheckFork(m.Checkpoint, s.Checkpoint); fork != nil {
			err = errors.Join(err, fork)
		}
		loser := s
		if s.Registration.Registration.Sequence > m.Registration.Registration.Sequence {
			previous := m
			loser = &previous
			m.Registration, m.Index, m.Checkpoint = s.Registration, s.Index, s.Checkpoint
		}
		if r := loser.Registration; sequence(r) == sequence(m.Registration) && r.CID != m.Registration.CID {
			m.Stops = append(m.Stops, r)
		}
		m.Stops = append(m.Stops, s.Stops...)
	}
	slices.SortFunc(m.Stops, byCID)
	m.Stops = slices.CompactFunc(m.Stops, func(a, b *registry.Record) bool { return a.CID == b.CID })
	return &m, err
}

func byCID(a, b *registry.Record) int { return strings.Compare(a.CID, b.CID) }
