// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// headsProtocol carries what each side holds, one stream each way for as long
// as two members are connected.
const headsProtocol protocol.ID = "/comity/heads/1"

const (
	// A peer that is there says something every headsEvery. One from which
	// nothing came for headsSilence is not online, whatever its connection
	// says, and after headsTimeout that is closed; so a link that was down is
	// dialled anew as soon as it is up.
	headsEvery   = time.Second
	headsSilence = 4 * time.Second // the first versions spoke every three seconds
	headsTimeout = 10 * time.Second
	// headsPace is how many bytes a second are read of a peer, and headsCost
	// what a frame counts beside its own: one that says much goes slowly.
	headsPace = 1 << 20
	headsCost = 8 << 10
	// speakAgain is the pause before a stream that broke is opened anew.
	speakAgain = 200 * time.Millisecond
	// headsPause is the shortest time between two frames: what changes within
	// it goes in one.
	headsPause = 20 * time.Millisecond
	// wholeEvery is how often one of the peers is sent everything again.
	wholeEvery = 5 * time.Second
	// patience is how long gossip has to bring what heads have told of.
	patience = 250 * time.Millisecond
)

// hello is the first frame: who speaks. A peer that nobody has heard of can
// show with it that a member has named it.
type hello struct {
	Broker string `json:"broker"` // broker record
}

// headsFrame is each further one. What is absent has not changed.
type headsFrame struct {
	Logs    map[string]LogHead `json:"logs,omitempty"`
	Charter *CharterHead       `json:"charter,omitempty"`
	Rest    *string            `json:"rest,omitempty"`
	Views   map[string]int64   `json:"views,omitempty"` // iat of the newest view, by issuer; in whole vectors
}

// since makes the frame that takes a peer from one vector to another.
func (v Vector) since(sent Vector) headsFrame {
	f := headsFrame{}
	for log, head := range v.Logs {
		if was, ok := sent.Logs[log]; !ok || was != head {
			if f.Logs == nil {
				f.Logs = map[string]LogHead{}
			}
			f.Logs[log] = head
		}
	}
	if v.Charter != sent.Charter {
		f.Charter = &v.Charter
	}
	if v.Rest != sent.Rest {
		f.Rest = &v.Rest
	}
	return f
}

func (f headsFrame) empty() bool {
	return len(f.Logs) == 0 && f.Charter == nil && f.Rest == nil && len(f.Views) == 0
}

// merge brings a vector up to date.
func (v *Vector) merge(f headsFrame) {
	if v.Logs == nil {
		v.Logs = map[string]LogHead{}
	}
	maps.Copy(v.Logs, f.Logs)
	if f.Charter != nil {
		v.Charter = *f.Charter
	}
	if f.Rest != nil {
		v.Rest = *f.Rest
	}
}

// viewTimes are the times of the newest views that are held here.
func (n *Network) viewTimes() map[string]int64 {
	times := map[string]int64{}
	for _, v := range n.replica.Views() {
		times[v.Issuer] = v.IssuedAt
	}
	return times
}

// speak tells a peer what is held here, until the stream or the session ends.
func (n *Network) speak(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, headsTimeout)
	stream, err := n.host.NewStream(ctx, s.peer, headsProtocol)
	cancel()
	if err != nil {
		return err
	}
	defer stream.Reset()
	own, err := n.replica.BrokerRecord(s.ctx, n.replica.key.ID())
	if err != nil {
		return err // a broker announces itself before it joins
	}
	if err := n.say(stream, hello{Broker: own.Raw}); err != nil {
		return err
	}
	var sent Vector
	whole, last := true, time.Time{}
	for {
		now := *n.vector.Load()
		frame := now.since(sent)
		if whole {
			frame = now.since(Vector{})
			frame.Views = n.viewTimes()
		}
		if whole || !frame.empty() || time.Since(last) >= headsEvery {
			if err := n.say(stream, frame); err != nil {
				return err
			}
			sent, last = now, time.Now()
		}
		if whole, err = s.wait(headsEvery-time.Since(last), headsPause); err != nil {
			return nil
		}
	}
}

func (n *Network) say(stream network.Stream, frame any) error {
	doc, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	if err := stream.SetWriteDeadline(time.Now().Add(headsTimeout)); err != nil {
		return err
	}
	return writeFrame(stream, doc)
}

// handleHeads listens to a peer until it falls silent.
func (n *Network) handleHeads(stream network.Stream) {
	if !n.enter() {
		_ = stream.Reset()
		return
	}
	defer n.working.Done()
	defer stream.Reset()
	p := stream.Conn().RemotePeer()
	issuer, err := n.greet(stream)
	if err == nil {
		n.supersede(stream.Conn())
		err = n.listen(stream, p, issuer)
	}
	if err == nil || n.ctx.Err() != nil {
		return
	}
	if errors.Is(err, registry.ErrForm) && n.members.has(p, "") {
		n.faults.charge(p, tolerance/2, err.Error())
	}
	n.log.Debug("heads of a peer end", "peer", p, "issuer", issuer, "error", err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Nothing will come on another connection either, if there is one,
		// and while there is, nobody dials anew.
		_ = n.host.Network().ClosePeer(p)
		return
	}
	_ = stream.Conn().Close()
}

// greet reads the first frame and returns the member that speaks.
func (n *Network) greet(stream network.Stream) (issuer string, err error) {
	p := stream.Conn().RemotePeer()
	if err := stream.SetReadDeadline(time.Now().Add(headsTimeout)); err != nil {
		return "", err
	}
	raw, err := readFrame(stream, maxHello)
	if err != nil {
		return "", err
	}
	var h hello
	if err := strictjson.Unmarshal(raw, &h); err != nil {
		return "", fmt.Errorf("%w: hello: %w", registry.ErrForm, err)
	}
	record, err := registry.ParseRecord([]byte(h.Broker), registry.KindBroker)
	if err != nil {
		return "", err
	}
	stranger := !n.members.has(p, "")
	n.members.hint(record)
	switch {
	case !n.members.has(p, record.Issuer):
		return "", fmt.Errorf("peer %s is not named by %s", p, record.Issuer)
	case stranger:
		return "", fmt.Errorf("peer %s of %s was not known, it begins anew", p, record.Issuer)
	}
	return record.Issuer, nil
}

// listen notes what a peer says it holds; its session does something about it.
func (n *Network) listen(stream network.Stream, p peer.ID, issuer string) error {
	first, pace := true, rate.NewLimiter(headsPace, 2*maxHeads)
	for {
		if err := stream.SetReadDeadline(time.Now().Add(headsTimeout)); err != nil {
			return err
		}
		raw, err := readFrame(stream, maxHeads)
		if err != nil {
			return err
		}
		if err := pace.WaitN(n.ctx, len(raw)+headsCost); err != nil {
			return err
		}
		var f headsFrame
		if err := strictjson.Unmarshal(raw, &f); err != nil {
			return fmt.Errorf("%w: heads: %w", registry.ErrForm, err)
		}
		if err := n.note(p, issuer, f, first, stream); err != nil {
			return err
		}
		first = false
	}
}

// supersede closes the connections of a peer that spoke on another one before,
// but for the one on which it begins anew: it was killed and is back, and what
// is asked on an old one would wait until that is given up.
func (n *Network) supersede(now network.Conn) {
	n.mu.Lock()
	s := n.sessions[now.RemotePeer()]
	anew := s != nil && s.stream != nil && s.stream.Conn() != now
	n.mu.Unlock()
	if !anew {
		return
	}
	for _, c := range n.host.Network().ConnsToPeer(now.RemotePeer()) {
		if c != now && !c.Stat().Opened.After(now.Stat().Opened) {
			_ = c.Close()
		}
	}
	wake(s.whole) // or this side would find out when it next says something there
}

// note keeps what a peer holds, and counts it as acknowledged unless it is
// another history than ours.
func (n *Network) note(p peer.ID, issuer string, f headsFrame, first bool, stream network.Stream) error {
	own := n.vector.Load().Logs
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sessions[p]
	if s == nil {
		return fmt.Errorf("peer %s is not connected", p)
	}
	if first {
		s.begin(issuer, stream)
	}
	s.last = time.Now()
	s.silence.Reset(headsSilence)
	s.holds.merge(f)
	if len(s.holds.Logs) > registry.MaxMembers {
		return fmt.Errorf("%w: heads of %d logs", registry.ErrForm, len(s.holds.Logs))
	}
	acknowledged := n.heard[issuer]
	if acknowledged == nil {
		acknowledged = map[string]int64{}
		n.heard[issuer] = acknowledged
	}
	for log, head := range f.Logs {
		at := own[log]
		_, known := acknowledged[log]
		if at.Size == head.Size && at.Root != head.Root || !known && len(acknowledged) == registry.MaxMembers {
			continue
		}
		acknowledged[log] = max(acknowledged[log], head.Size)
	}
	s.study(f, first)
	n.changed()
	return nil
}
