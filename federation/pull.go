// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/comity-network/comity/registry"
)

// pullProtocol asks a peer for what it holds: one frame there, frames of
// messages back, as many as there are.
const pullProtocol protocol.ID = "/comity/pull/1"

const (
	// frameTimeout bounds the wait for one frame, either way.
	frameTimeout = 15 * time.Second
	// After a failure a peer is left alone for a moment: it may have another
	// connection. What could not be had of a log is asked for after a while, a
	// long one when the answer was wrong.
	brokenFor = 500 * time.Millisecond
	failedFor = 10 * time.Second
	wrongFor  = 2 * time.Minute
	// maxPulled bounds the documents that are not entries in one answer.
	maxPulled = 4096
)

// pullRequest has exactly one part.
type pullRequest struct {
	Logs     []Want           `json:"logs,omitempty"`
	Charters int64            `json:"charters,omitempty"` // this version and all later ones
	Views    map[string]int64 `json:"views,omitempty"`    // those of these issuers that are later
	Rest     bool             `json:"rest,omitempty"`     // heard stops, evidence, proposals
}

// puller sees to it that each log is pulled from one peer at a time.
type puller struct {
	*Network
	claims map[string]peer.ID // guarded by Network.mu
}

func newPuller(n *Network) *puller { return &puller{Network: n, claims: map[string]peer.ID{}} }

// errands fetches from one peer what it has and we lack, whenever it says
// something new.
func (n *Network) errands(s *session) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.errand:
		}
		if err := n.catchUp(s); err != nil && s.ctx.Err() == nil {
			n.log.Info("cannot pull from a peer", "peer", s.peer, "issuers", n.members.issuers(s.peer), "error", err)
			_ = sleep(s.ctx, brokenFor)
			wake(s.errand)
		}
	}
}

// later has a session look again after a time.
func (n *Network) later(s *session, d time.Duration) {
	time.AfterFunc(d, func() { wake(s.errand) })
}

// catchUp asks for charters first, since keys follow from them, then logs.
func (n *Network) catchUp(s *session) error {
	holds, views, urgent := n.claimed(s)
	own := n.replica.Vector()
	if later(holds.Charter, own.Charter) {
		if err := n.pull(s, pullRequest{Charters: max(2, min(own.Charter.Version+1, holds.Charter.Version))}); err != nil {
			return err
		}
	}
	if err := n.pullLogs(s, holds, urgent); err != nil {
		return err
	}
	if views == nil {
		return nil
	}
	if older := olderViews(n.viewTimes(), views); len(older) > 0 {
		if err := n.pull(s, pullRequest{Views: older}); err != nil {
			return err
		}
	}
	if holds.Rest == n.replica.Vector().Rest {
		return nil
	}
	if err := n.pull(s, pullRequest{Rest: true}); err != nil {
		return err
	}
	n.mu.Lock()
	s.rested = holds.Rest
	n.mu.Unlock()
	return nil
}

// claimed takes what is to be done from a session.
func (n *Network) claimed(s *session) (holds Vector, views map[string]int64, urgent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	holds.merge(headsFrame{Logs: s.holds.Logs, Charter: &s.holds.Charter, Rest: &s.holds.Rest})
	views, urgent = s.views, s.urgent
	s.views, s.urgent, s.blocked = nil, false, false
	return holds, views, urgent
}

// later: another charter of our version is worth a look too, since two of them
// are evidence.
func later(theirs, ours CharterHead) bool {
	return theirs.Version > ours.Version || theirs.Version == ours.Version && theirs.CID != ours.CID && theirs.Version > 1
}

func olderViews(ours, theirs map[string]int64) map[string]int64 {
	older := map[string]int64{}
	for issuer, at := range theirs {
		if at > ours[issuer] {
			older[issuer] = ours[issuer]
		}
	}
	return older
}

// pullLogs brings the logs in which the peer is ahead, but not those that
// another peer is being asked for.
func (n *Network) pullLogs(s *session, holds Vector, urgent bool) error {
	wants, err := n.replica.Wants(s.ctx, holds)
	if err != nil || len(wants) == 0 {
		return err
	}
	if !urgent && n.fewMissing(holds, wants) {
		// Gossip is on its way.
		if err := sleep(s.ctx, patience); err != nil {
			return err
		}
		if wants, err = n.replica.Wants(s.ctx, holds); err != nil {
			return err
		}
	}
	if wants = n.pulls.claim(s, wants); len(wants) == 0 {
		return nil
	}
	err = n.pull(s, pullRequest{Logs: wants})
	n.pulls.release(s, wants, holds, err)
	return err
}

// fewMissing says whether as little is missing as gossip brings.
func (n *Network) fewMissing(holds Vector, wants []Want) bool {
	for _, w := range wants {
		if holds.Logs[w.Log].Size-w.From > gossipBurst {
			return false
		}
	}
	return true
}

// claim takes those logs that nobody is asked for.
func (p *puller) claim(s *session, wants []Want) []Want {
	p.mu.Lock()
	defer p.mu.Unlock()
	var free []Want
	for _, w := range wants {
		if _, taken := p.claims[w.Log]; taken {
			s.blocked = true
		} else if time.Now().After(s.bad[w.Log]) {
			p.claims[w.Log] = s.peer
			free = append(free, w)
		}
	}
	return free
}

// release gives logs back, marks those that the peer did not bring, and lets
// the others try.
func (p *puller) release(s *session, wants []Want, holds Vector, failed error) {
	have := p.replica.Vector().Logs
	p.mu.Lock()
	defer p.mu.Unlock()
	missing := false
	for _, w := range wants {
		delete(p.claims, w.Log)
		if have[w.Log].Size >= holds.Logs[w.Log].Size && have[w.Log].Size > w.From {
			continue
		}
		missing = true
		wait := pause(failed)
		s.bad[w.Log] = time.Now().Add(wait)
		p.later(s, wait)
	}
	for _, other := range p.sessions {
		if other != s && (other.blocked || missing) {
			other.urgent = true
			wake(other.errand)
		}
	}
}

// wrong says whether it is the peer's fault.
func wrong(err error) bool {
	return errors.Is(err, registry.ErrForm) || errors.Is(err, registry.ErrSignature) || errors.Is(err, registry.ErrLimit)
}

// pause is for how long a peer is left alone after a failure; nil: it answered
// and did not bring what it has.
func pause(failed error) time.Duration {
	switch {
	case wrong(failed):
		return wrongFor
	case errors.Is(failed, swarm.ErrConnClosed), errors.As(failed, new(*network.ConnError)):
		return brokenFor
	}
	return failedFor
}

// pull asks a peer and takes what it answers, until it has no more.
func (n *Network) pull(s *session, ask pullRequest) error {
	ctx, cancel := context.WithTimeout(s.ctx, frameTimeout)
	stream, err := n.host.NewStream(ctx, s.peer, pullProtocol)
	cancel()
	if err != nil {
		return err
	}
	defer stream.Reset()
	doc, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	if err := stream.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	if err := errors.Join(writeFrame(stream, doc), stream.CloseWrite()); err != nil {
		return err
	}
	return n.take(s, stream, ask)
}

// take accepts each frame before the next is read, so that no more than one
// waits in memory. It goes on after what is wrong with one log, for the others'
// sake, and returns the first such error at the end.
func (n *Network) take(s *session, stream network.Stream, ask pullRequest) error {
	var first error
	skip := map[string]bool{}
	for frames := 0; ; frames++ {
		if err := stream.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
			return err
		}
		raw, err := readFrame(stream, maxMessage)
		if err == io.EOF {
			return first
		}
		if err == nil && len(ask.Logs) == 0 && frames >= maxPulled {
			err = fmt.Errorf("%w: more than %d documents", registry.ErrForm, maxPulled)
		}
		var in Inbound
		if err == nil {
			in, err = decodeMessage(raw)
		}
		if errors.Is(err, errUnknownKind) {
			continue
		}
		if err != nil {
			return n.judge(s.peer, err)
		}
		if in.Suffix != nil && skip[in.Suffix.Log] {
			continue
		}
		if _, err := n.accept(s.ctx, in); err != nil {
			if in.Suffix != nil {
				skip[in.Suffix.Log] = true
			}
			if first == nil || wrong(err) {
				first = n.judge(s.peer, err)
			}
		}
	}
}

// judge charges a peer for what it should not have sent.
func (n *Network) judge(p peer.ID, err error) error {
	if wrong(err) {
		n.faults.charge(p, tolerance/4, err.Error())
	}
	return err
}

// accept hands something to the replica. That it was older than what is held,
// or proves a crime of a third, is no failure.
func (n *Network) accept(ctx context.Context, in Inbound) (Outcome, error) {
	outcome, err := n.replica.Accept(ctx, in)
	for _, harmless := range []error{registry.ErrStale, registry.ErrFork, registry.ErrConflict, registry.ErrNotFound} {
		if errors.Is(err, harmless) {
			n.log.Info("not taken from a peer", "error", err)
			return outcome, nil
		}
	}
	return outcome, err
}
