// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// connectProtocol asks a member to connect a client with a site that only it
// can reach: one frame there, one back. The asker holds its side of the stream
// open; when that ends, nobody waits for the answer any more.
const connectProtocol protocol.ID = "/comity/connect/1"

const (
	maxAsk    = 8 << 10
	maxAnswer = 64 << 10
	// answerTimeout bounds the work on a request, which may wait for a site.
	answerTimeout = 25 * time.Second
	maxAsked      = 128 // requests that are answered at a time, for all peers
	maxAskedPeer  = 32  // and for one
)

// ErrUnreachable: the member is not connected, or did not answer.
var ErrUnreachable = errors.New("the broker cannot be reached now")

// Asked answers a request of another member. speaks says whether it came from a
// peer that the newest broker record of that issuer names. ctx ends when the
// asker goes away. When it fails the asker is told nothing; registry.ErrForm: no
// honest member asks so.
type Asked func(ctx context.Context, speaks func(issuer string) bool, request []byte) (answer []byte, err error)

// Ask sends a request to a connected member and returns its answer. When ctx
// ends, so does the member's work on it. The error is ErrUnreachable when there
// is no answer.
func (n *Network) Ask(ctx context.Context, issuer string, request []byte) ([]byte, error) {
	p, ok := n.onlinePeer(issuer)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not connected", ErrUnreachable, issuer)
	}
	answer, err := n.ask(ctx, p, request)
	if err != nil {
		n.log.Info("a member does not answer a request", "issuer", issuer, "error", err)
		return nil, fmt.Errorf("%w: %s does not answer", ErrUnreachable, issuer)
	}
	return answer, nil
}

func (n *Network) ask(ctx context.Context, p peer.ID, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stream, err := n.host.NewStream(network.WithNoDial(ctx, "members are connected"), p, connectProtocol)
	if err != nil {
		return nil, err
	}
	defer stream.Reset()
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	if err := stream.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil {
		return nil, err
	}
	if err := writeFrame(stream, request); err != nil {
		return nil, err
	}
	answer, err := readFrame(stream, maxAnswer)
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return answer, nil
}

// onlinePeer is a peer of a member that says what it holds.
func (n *Network) onlinePeer(issuer string) (peer.ID, bool) {
	m, _ := n.members.at(issuer)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range m.peers {
		if s := n.sessions[p.ID]; s != nil && s.online() {
			return p.ID, true
		}
	}
	return "", false
}

// HandleAsked sets who answers the requests of other members. It is called
// before Run; without it nobody does.
func (n *Network) HandleAsked(answer Asked) {
	asking := newTurnstile(maxAsked, maxAskedPeer)
	n.host.SetStreamHandler(connectProtocol, func(stream network.Stream) {
		p := stream.Conn().RemotePeer()
		if !n.enter() {
			_ = stream.Reset()
			return
		}
		defer n.working.Done()
		if !n.members.has(p, "") || !asking.enter(p) {
			_ = stream.Reset()
			return
		}
		defer asking.leave(p)
		if err := n.asked(stream, answer); err != nil {
			_ = stream.Reset()
			n.judge(p, err)
			n.log.Info("a request of a member is not answered", "peer", p, "issuers", n.members.issuers(p), "error", err)
			return
		}
		_ = stream.Close()
	})
}

func (n *Network) asked(stream network.Stream, answer Asked) error {
	if err := stream.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	request, err := readFrame(stream, maxAsk)
	if err != nil {
		return err
	}
	if err := stream.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, answerTimeout)
	defer cancel()
	n.goes(func() { // until the stream ends
		_, _ = io.ReadFull(stream, make([]byte, 1))
		cancel()
	})
	issuers := slices.Clone(n.members.issuers(stream.Conn().RemotePeer()))
	doc, err := answer(ctx, func(issuer string) bool { return slices.Contains(issuers, issuer) }, request)
	if err != nil {
		return err
	}
	if err := stream.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	return writeFrame(stream, doc)
}
