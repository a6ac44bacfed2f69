// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/comity-network/comity/registry"
)

// settle is how much later than a stop was heard a list must be certified to
// lift it: every member has signed a view in between, after it heard of the
// stop itself, and clocks may differ by 10 s.
const settle = int64((30*time.Second + registry.MaxAhead) / time.Second)

// Judge verifies the records that a client-disabled event from broker carries
// and folds them with what is known of the client. It returns the stops that
// they prove; none when they prove nothing. Errors that wrap ErrForm,
// ErrSignature or ErrNotFound are the records' fault.
func (f *Federation) Judge(ctx context.Context, broker, client string, raws []string) ([]Stop, error) {
	chain := f.now.Load().chain
	if chain == nil {
		return nil, fmt.Errorf("%w: no charter yet", registry.ErrStale)
	}
	entries, err := verifyRecords(chain, client, raws)
	if err != nil {
		return nil, err
	}
	known, err := f.clientEntries(ctx, chain, broker, client)
	if err != nil {
		return nil, err
	}
	now := f.Now()
	state := registry.Fold(chain, append(known, entries...), nil, now).Clients[client]
	var stops []Stop
	for _, r := range state.Because {
		stops = append(stops, newStop(state, r, now.Unix()))
	}
	return stops, nil
}

func newStop(state registry.ClientState, r *registry.Record, now int64) Stop {
	s := Stop{
		Record: r.CID, ClientID: state.ID, Issuer: r.Issuer, Status: state.Status, Reason: state.Reason,
		Since: r.IssuedAt, Cutoff: state.Cutoff, HeardAt: now, LiftAfter: math.MaxInt64,
	}
	if r.Revocation != nil {
		s.Sequence = r.Revocation.Sequence
	}
	if state.Status == registry.ClientSuspended { // everything else is final
		s.LiftAfter = now + settle
		s.Reason, s.Until = r.Revocation.Reason, r.Revocation.Until
	}
	return s
}

// verifyRecords checks form and signature of records about one client.
func verifyRecords(chain *registry.Chain, client string, raws []string) ([]registry.Entry, error) {
	entries := make([]registry.Entry, len(raws))
	for i, raw := range raws {
		r, err := registry.ParseRecord([]byte(raw), registry.KindRevocation, registry.KindRegistration)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		if r.ClientID() != client {
			return nil, fmt.Errorf("record %d: %w: about another client", i, registry.ErrForm)
		}
		if err := verifyBySigner(chain, r); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		entries[i] = registry.Entry{Record: r, Index: -1}
	}
	return entries, nil
}

// verifyBySigner checks a signature by the key of a member that it names.
func verifyBySigner(chain *registry.Chain, r *registry.Record) error {
	member, key, ok := chain.MemberByKey(r.KeyID)
	if !ok || member.Issuer != r.Issuer {
		return fmt.Errorf("%w: %s has no key %s", registry.ErrSignature, r.Issuer, r.KeyID)
	}
	pub, err := key.Key.PublicKey()
	if err != nil {
		return err
	}
	return r.Verify(pub)
}

// clientEntries are the registrations of a client that were verified before;
// one that the site has not met is asked for.
func (f *Federation) clientEntries(ctx context.Context, chain *registry.Chain, broker, client string) ([]registry.Entry, error) {
	if registry.IsClientURL(client) {
		return nil, nil // in no log
	}
	fact, err := f.Memory.Fact(ctx, KindClient, client)
	if errors.Is(err, registry.ErrNotFound) {
		if err = f.meet(ctx, broker, client); err == nil {
			fact, err = f.Memory.Fact(ctx, KindClient, client)
		}
	}
	if err != nil {
		return nil, err
	}
	k, err := parseKnown(fact)
	if err != nil {
		return nil, err
	}
	first, err := registry.ParseRecord([]byte(k.First), registry.KindRegistration)
	if err != nil {
		return nil, err
	}
	// The fold wants a place in the log for it: the first one that its key may
	// sign. That it is in the log follows from the registration.
	_, key, _ := chain.MemberByKey(first.KeyID)
	entries := []registry.Entry{{Record: first, Index: key.From}}
	if k.Registration == k.First {
		return entries, nil
	}
	reg, err := registry.ParseRecord([]byte(k.Registration), registry.KindRegistration)
	return append(entries, registry.Entry{Record: reg, Index: k.Index}), err
}

// meet fetches and verifies a client without asking whether it may be used.
func (f *Federation) meet(ctx context.Context, broker, client string) error {
	var doc clientDocument
	if err := f.getJSON(ctx, broker, "/federation/clients/"+url.PathEscape(client), maxClientBytes, &doc); err != nil {
		return err
	}
	_, err := f.verifyClient(ctx, broker, client, &doc)
	return err
}

// Reinstatement finds, among the records of a client-enabled event, the newest
// reinstatement by the client's home broker. It alone proves little, since it
// counts only in a log: it lets a list that is certified after it lift the
// home's earlier suspensions.
func (f *Federation) Reinstatement(ctx context.Context, broker, client string, raws []string) (*registry.Record, error) {
	chain := f.now.Load().chain
	if chain == nil {
		return nil, fmt.Errorf("%w: no charter yet", registry.ErrStale)
	}
	entries, err := verifyRecords(chain, client, raws)
	if err != nil {
		return nil, err
	}
	known, err := f.clientEntries(ctx, chain, broker, client)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 { // a URL has no home that could reinstate it
		return nil, nil
	}
	var newest *registry.Record
	for _, e := range entries {
		r := e.Record
		if r.Revocation == nil || r.Revocation.Action != registry.Reinstate || r.Issuer != known[0].Record.Issuer {
			continue
		}
		if newest == nil || r.Revocation.Sequence > newest.Revocation.Sequence {
			newest = r
		}
	}
	return newest, nil
}
