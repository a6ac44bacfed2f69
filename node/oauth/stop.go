// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Whoever hears of a new verdict of the records calls the methods of this
// file. They make it last: what a stop kills is dead in the store, and the
// sites hear of it. What a stop only blocks needs nothing here, since every
// request looks at the records again.

// stopNews is how long sites are told of a stop: after that their stop list
// has told them many times.
const stopNews = 24 * 60 * 60

// ClientStopped kills what the stop kills: everything when the client is
// revoked, what was issued up to the cutoff when it is suspended or disputed.
// Each site that holds live tokens is told once, with the records.
func (s *Server) ClientStopped(ctx context.Context, state registry.ClientState) error {
	stop := s.stopOf(state)
	sites, err := s.cfg.Store.StopClient(ctx, stop, s.changed(state, func(e *protocol.Event, c *protocol.ClientChange) {
		e.ClientDisabled = c
	}))
	if err != nil {
		return fmt.Errorf("stop client %s: %w", state.ID, err)
	}
	if sites > 0 { // otherwise it is old news, as after every start, or none of this broker's
		s.audit(ctx, "client stopped", "event", "client-stopped", "client", state.ID, "status", string(state.Status),
			"reason", state.Reason, "cutoff", state.Cutoff, "sites", sites)
	}
	return nil
}

// ClientEnabled tells each site that knows the client that it may be used
// again. What was issued up to the cutoff is dead all the same. state.Because,
// when there is any, are the records that say so.
func (s *Server) ClientEnabled(ctx context.Context, state registry.ClientState) error {
	stop := s.stopOf(state)
	tell := s.changed(state, func(e *protocol.Event, c *protocol.ClientChange) { e.ClientEnabled = c })
	if len(records(state)) == 0 { // a URL whose suspension is over: sites see that in the stop list
		tell = nil
	}
	sites, err := s.cfg.Store.EnableClient(ctx, stop, tell)
	if err != nil {
		return fmt.Errorf("enable client %s: %w", state.ID, err)
	}
	s.audit(ctx, "client enabled", "event", "client-enabled", "client", state.ID, "cutoff", state.Cutoff, "sites", sites)
	return nil
}

// BrokerChanged makes the verdict on a broker last. An expelled broker's
// clients lose everything; so do all, when it is this broker. Any other
// verdict only blocks. Sites see brokers in the stop list.
func (s *Server) BrokerChanged(ctx context.Context, issuer string, status registry.BrokerStatus) error {
	s.audit(ctx, "broker changed", "event", "broker-changed", "broker", issuer, "status", string(status))
	if status != registry.BrokerExpelled {
		return nil
	}
	home := issuer
	if issuer == s.cfg.Issuer {
		home = ""
	}
	if err := s.cfg.Store.StopBroker(ctx, home, s.now(), "broker-expelled"); err != nil {
		return fmt.Errorf("stop broker %s: %w", issuer, err)
	}
	return nil
}

func (s *Server) stopOf(state registry.ClientState) Stop {
	stop := Stop{ClientID: state.ID, Cutoff: state.Cutoff, At: s.now(), Reason: "client-stopped", Broker: s.cfg.Issuer}
	if state.Status == registry.ClientRevoked {
		stop.Cutoff, stop.Reason = math.MaxInt64, "client-revoked"
	}
	return stop
}

// changed returns what makes the event for each site; set puts the change
// into its place. All sites get the same event but for its id: it is
// addressed to the federation. The same records make the same id, so that a
// site that hears of one stop again, after a restart, knows that it did.
func (s *Server) changed(state registry.ClientState, set func(*protocol.Event, *protocol.ClientChange)) func(site string) notify.Message {
	change := &protocol.ClientChange{ClientID: state.ID, Records: records(state)}
	return func(site string) notify.Message {
		e := protocol.Event{Audience: s.cfg.Federation()}
		set(&e, change)
		if len(state.Because) > 0 {
			e.ID = protocol.TokenHash(strings.Join(append([]string{e.URI(), site}, change.Records...), "\n"))
		}
		return s.message(site, s.now()+stopNews, e)
	}
}

// records are the bytes that justify the verdict. When none does, because the
// client is active or its broker is what is stopped, the registration says at
// least which client is meant.
func records(state registry.ClientState) []string {
	because := state.Because
	if len(because) == 0 && state.Registration != nil {
		because = []*registry.Record{state.Registration}
	}
	var raws []string
	for _, r := range because[:min(len(because), protocol.MaxEventRecords)] {
		raws = append(raws, r.Raw)
	}
	return raws
}
