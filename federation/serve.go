// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// maxServed bounds the pulls that are answered at a time, for all peers and
// for one.
const (
	maxServed     = 64
	maxServedPeer = 4
)

// handlePull answers one request of a member. The peer must take each frame in
// time: a slow one is left (fault 62).
func (n *Network) handlePull(stream network.Stream) {
	if !n.enter() {
		_ = stream.Reset()
		return
	}
	defer n.working.Done()
	p := stream.Conn().RemotePeer()
	if !n.members.has(p, "") || !n.serving.enter(p) {
		_ = stream.Reset()
		return
	}
	defer n.serving.leave(p)
	if err := n.answer(stream); err != nil {
		_ = stream.Reset()
		n.judge(p, err)
		n.log.Info("cannot answer a peer", "peer", p, "error", err)
		return
	}
	_ = stream.Close() // what was written is still delivered
}

func (n *Network) answer(stream network.Stream) error {
	if err := stream.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	raw, err := readFrame(stream, maxRequest)
	if err != nil {
		return err
	}
	var ask pullRequest
	if err := strictjson.Unmarshal(raw, &ask); err != nil {
		return fmt.Errorf("%w: pull request: %w", registry.ErrForm, err)
	}
	if len(ask.Logs) > registry.MaxMembers {
		return fmt.Errorf("%w: pull of %d logs", registry.ErrForm, len(ask.Logs))
	}
	for _, w := range ask.Logs {
		if err := n.answerLog(stream, w); err != nil {
			return err
		}
	}
	for _, in := range n.documents(ask) {
		if err := n.hand(stream, in); err != nil {
			return err
		}
	}
	return nil
}

// answerLog sends a log piece by piece, each of which the peer can verify.
func (n *Network) answerLog(stream network.Stream, w Want) error {
	for from := w.From; ; {
		piece, err := n.replica.Since(n.ctx, w.Log, from, pieceBytes)
		if errors.Is(err, registry.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := n.hand(stream, Inbound{Suffix: piece}); err != nil {
			return err
		}
		from += int64(len(piece.Raws))
		if len(piece.Raws) == 0 || len(piece.Proof) == 0 {
			return nil // the checkpoint's size is reached
		}
	}
}

// documents collects what is asked for beside logs.
func (n *Network) documents(ask pullRequest) []Inbound {
	var all []Inbound
	if ask.Charters > 0 {
		for _, raw := range n.replica.Charters(ask.Charters) {
			all = append(all, Inbound{Charter: raw})
		}
	}
	for _, v := range n.replica.Views() {
		if since, ok := ask.Views[v.Issuer]; ok && v.IssuedAt > since {
			all = append(all, Inbound{View: v.Raw})
		}
	}
	if ask.Rest {
		for _, c := range n.replica.Proposals() {
			all = append(all, Inbound{Charter: c.Raw})
		}
		for _, raw := range n.replica.HeardStops() {
			all = append(all, Inbound{Heard: raw})
		}
		for _, raw := range n.replica.EvidenceDocuments() {
			all = append(all, Inbound{Evidence: raw})
		}
	}
	return all[:min(len(all), maxPulled)]
}

func (n *Network) hand(stream network.Stream, in Inbound) error {
	doc, err := encodeMessage(in)
	if err != nil {
		return err
	}
	if err := stream.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	return writeFrame(stream, doc)
}
