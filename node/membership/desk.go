// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// DeskConfig is what a Desk needs. All of it must be set.
type DeskConfig struct {
	Replica *federation.Replica
	Store   Store
	Key     string       // thumbprint of the broker's record key
	HTTP    *http.Client // guarded: applicants name the addresses
	// Closed returns why this broker cannot admit anybody now, such as that it
	// asks for membership itself; nil: it can.
	Closed func() error
	Now    func() time.Time
	Log    *slog.Logger
}

// Desk is where a member takes requests and its operator decides them.
type Desk struct {
	DeskConfig
	deciding sync.Mutex // one charter is built and signed at a time
	byRemote *ratelimit.Limiter
	all      *ratelimit.Limiter
	wake     chan struct{} // to Run: something was approved
}

// NewDesk returns a desk. Call Run while it serves.
func NewDesk(cfg DeskConfig) *Desk {
	return &Desk{
		DeskConfig: cfg,
		byRemote:   ratelimit.New(ratelimit.Config{Every: 10 * time.Second, Burst: 20, Keys: 10_000, Now: cfg.Now}),
		all:        ratelimit.New(ratelimit.Config{Every: 200 * time.Millisecond, Burst: 100, Keys: 1, Now: cfg.Now}),
		wake:       make(chan struct{}, 1),
	}
}

// Submit takes a request: a broker record that its author has just signed.
// Asking again with the same record changes nothing.
func (d *Desk) Submit(ctx context.Context, raw []byte) (Request, State, error) {
	record, err := registry.ParseRecord(raw, registry.KindBroker)
	if err != nil {
		return Request{}, "", err
	}
	if err := verifyBroker(record); err != nil {
		return Request{}, "", err
	}
	now := d.Now()
	if known, err := d.Store.Request(ctx, record.CID, now.Unix()); err == nil {
		state, _ := d.stateOf(known)
		return known, state, nil
	}
	if err := d.Closed(); err != nil {
		return Request{}, "", fmt.Errorf("%w: %w", registry.ErrLimit, err)
	}
	if err := d.admissible(record, now); err != nil {
		return Request{}, "", err
	}
	r := Request{
		ID: record.CID, Issuer: record.Issuer, Key: record.KeyID, Record: record.Raw,
		ReceivedAt: now.Unix(), ExpiresAt: now.Add(RequestLife).Unix(), State: Waiting,
	}
	err = d.Store.AddRequest(ctx, r, now.Unix(), MaxUnconfirmed, false)
	if errors.Is(err, registry.ErrConflict) || errors.Is(err, registry.ErrLimit) {
		// Somebody has asked in this name with another key, or there are more
		// requests than honest brokers make. The issuer itself says whether
		// this one is right.
		if _, unconfirmed := FetchBroker(ctx, d.HTTP, r.Issuer, r.Key); unconfirmed != nil {
			return Request{}, "", fmt.Errorf("%w, and the URL of %s does not confirm this one: %v", err, r.Issuer, unconfirmed)
		}
		err = d.Store.AddRequest(ctx, r, now.Unix(), MaxRequests, true)
	}
	if err != nil {
		return Request{}, "", err
	}
	if r, err = d.Store.Request(ctx, r.ID, now.Unix()); err != nil {
		return Request{}, "", err
	}
	d.Log.Info("a broker asks for membership", slog.Group("audit", "event", "membership-request",
		"issuer", r.Issuer, "key", r.Key, "request", r.ID))
	d.poke()
	state, _ := d.stateOf(r)
	return r, state, nil
}

// admissible refuses what no operator could approve.
func (d *Desk) admissible(record *registry.Record, now time.Time) error {
	age := now.Sub(time.Unix(record.IssuedAt, 0))
	if age > RecordAge || age < -registry.MaxAhead {
		return fmt.Errorf("%w: the broker record was signed at %s, and a request takes one of the last %v: sign a new one, and compare the clocks",
			registry.ErrStale, time.Unix(record.IssuedAt, 0).UTC().Format(time.RFC3339), RecordAge)
	}
	chain := d.Replica.Chain()
	if m, ok := chain.Member(record.Issuer); ok {
		switch {
		case m.State == registry.MemberExpelled:
			return fmt.Errorf("%w: the membership of %s has ended; its log cannot go on here, so it needs another issuer", registry.ErrConflict, record.Issuer)
		case !admits(&chain.Latest().Charter, record.Issuer, record.KeyID):
			return fmt.Errorf("%w: %s is a member with another record key", registry.ErrConflict, record.Issuer)
		}
		return nil // it is a member already, and will be told so
	}
	if m, _, ok := chain.MemberByKey(record.KeyID); ok {
		return fmt.Errorf("%w: that record key is the one of %s", registry.ErrConflict, m.Issuer)
	}
	if len(chain.Latest().Members) >= registry.MaxMembers {
		return fmt.Errorf("%w: the federation has %d members, the most that there can be", registry.ErrLimit, registry.MaxMembers)
	}
	return nil
}

// stateOf says where a request stands, and which charter would admit it, or
// does.
func (d *Desk) stateOf(r Request) (State, *registry.SignedCharter) {
	if newest := d.Replica.Chain().Latest(); admits(&newest.Charter, r.Issuer, r.Key) {
		return Admitted, newest
	}
	if _, was := d.Replica.Chain().Member(r.Issuer); was || r.State == Refused {
		return Refused, nil // its membership has ended since, or an operator said no
	}
	if p := d.proposal(r.Issuer, r.Key); p != nil {
		return Proposed, p
	}
	return Waiting, nil
}

// proposal is the pending charter that admits a broker and changes nothing
// else, the one with the most signatures.
func (d *Desk) proposal(issuer, key string) *registry.SignedCharter {
	newest := d.Replica.Chain().Latest()
	var best *registry.SignedCharter
	for _, p := range d.pending() {
		if admits(&p.Charter, issuer, key) && about(newest, p, issuer) && (best == nil || len(p.Signers) > len(best.Signers)) {
			best = p
		}
	}
	return best
}

// pending are the proposals for the next version that members may still sign.
func (d *Desk) pending() []*registry.SignedCharter {
	newest := d.Replica.Chain().Latest()
	var all []*registry.SignedCharter
	for _, p := range d.Replica.Proposals() {
		if p.Previous == newest.CID && p.IssuedAt+federation.ProposalLife > d.Now().Unix() {
			all = append(all, p)
		}
	}
	return all
}

// Countersign takes a pending charter with more signatures, as the applicant
// sends it back. It returns where its request stands then.
func (d *Desk) Countersign(ctx context.Context, id string, raw []byte) (State, *registry.SignedCharter, error) {
	r, err := d.Store.Request(ctx, id, d.Now().Unix())
	if err != nil {
		return "", nil, err
	}
	state, known := d.stateOf(r)
	if state != Proposed {
		return state, known, nil
	}
	signed, err := registry.ParseCharter(raw)
	if err != nil {
		return "", nil, err
	}
	if signed.CID != known.CID {
		return "", nil, fmt.Errorf("%w: that charter is not the one that is proposed, %s", registry.ErrConflict, known.CID)
	}
	if _, err := d.Replica.Accept(ctx, federation.Inbound{Charter: signed.Raw}); err != nil {
		return "", nil, err
	}
	d.poke()
	state, known = d.stateOf(r)
	return state, known, nil
}

func (d *Desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// verifyBroker checks a broker record against the key that it names itself.
func verifyBroker(record *registry.Record) error {
	key, err := record.Broker.RecordKey.PublicKey()
	if err != nil {
		return err
	}
	return record.Verify(key)
}

// FetchBroker gets the broker record with that key from the issuer itself. Any
// other answer is an error.
func FetchBroker(ctx context.Context, client *http.Client, issuer, key string) (*registry.Record, error) {
	raw, _, err := guard.Fetch(ctx, client, issuer+"/federation/brokers/"+key, registry.MaxRecordBytes)
	if err != nil {
		return nil, fmt.Errorf("%s does not show a broker record of key %s: %w", issuer, key, err)
	}
	record, err := registry.ParseRecord(raw, registry.KindBroker)
	if err != nil {
		return nil, fmt.Errorf("what %s shows is no broker record: %w", issuer, err)
	}
	if record.Issuer != issuer || record.KeyID != key {
		return nil, fmt.Errorf("%w: %s shows a broker record of %s with key %s, expected key %s",
			registry.ErrSignature, issuer, record.Issuer, record.KeyID, key)
	}
	return record, verifyBroker(record)
}
