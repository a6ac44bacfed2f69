// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// Draft is a record to be: exactly one of its bodies, without what Append sets.
type Draft struct {
	// Broker: iss, iat, jti and record_key are set.
	Broker *registry.Broker
	// Registration: iss, iat, jti, seq and prev are set. Client is the
	// client_id to update, empty for a new client.
	Registration *registry.Registration
	// Revocation: iss, iat, jti, charter are set, and seq and prev where this
	// broker is the client's home. Until of a suspension of another broker's
	// client is the longest allowed one when it is 0.
	Revocation *registry.Revocation
}

// Append signs a record and adds it to this broker's log. It returns the record
// and its index when it is durable. It refuses what the fold would not count:
//
//   - registry.ErrNotFound: no such client.
//   - registry.ErrRevoked: the client is revoked, which is final.
//   - registry.ErrConflict: another broker's client is to be updated or
//     reinstated, a client is to be reinstated that its home did not suspend,
//     or this broker has voted already.
//   - registry.ErrLimit: quota, the longest suspension, seq.
//   - registry.ErrForm: the body breaks a rule of its record.
//   - registry.ErrStale: the clock is behind what was signed before.
//   - registry.ErrFork: another process signs with the key of this broker.
//
// Any other error is of the store. Then the record may be there or not, and the
// next Append finds out; nobody was told of it.
func (r *Replica) Append(ctx context.Context, d Draft) (*registry.Record, int64, error) {
	end, err := r.begin(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer end()
	if err := r.maySign(); err != nil {
		return nil, 0, err
	}
	now := r.now()
	if err := r.checkClock(now); err != nil {
		return nil, 0, err
	}
	draft := drafting{Replica: r, now: now, claims: registry.Claims{Issuer: r.issuer, IssuedAt: max(now.Unix(), r.lastIAT)}}
	record, err := draft.sign(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	index, err := r.commit(ctx, record, draft.history)
	if err != nil {
		return nil, 0, err
	}
	r.announce(r.changeBy(ctx, record))
	r.tell(News{Own: true, Inbound: Inbound{Suffix: &Suffix{
		Log: r.log, From: index, Raws: []string{record.Raw}, Checkpoint: r.heads[r.log].Raw,
	}}})
	r.wake()
	return record, index, nil
}

// begin takes the lock of all that write, and finds out first what an earlier
// write did whose outcome is not known.
func (r *Replica) begin(ctx context.Context) (end func(), err error) {
	r.writing.Lock()
	if r.unsure {
		if err := r.load(ctx); err != nil {
			r.writing.Unlock()
			return nil, err
		}
		r.unsure = false
		r.announce() // of what the failed write did store
	}
	return r.writing.Unlock, nil
}

// changeBy is the change that a record makes when nothing is stopped by it.
func (r *Replica) changeBy(ctx context.Context, record *registry.Record) Change {
	if record.Broker != nil {
		return Change{Broker: record.Issuer}
	}
	// The record is durable by now; when it cannot be read back, the change
	// goes without its state.
	state, _ := r.Client(context.WithoutCancel(ctx), record.ClientID())
	return Change{Client: record.ClientID(), State: state}
}

// commit stores a record with its hashes and the new checkpoint, and then takes
// it into memory. history are the other records about its client.
func (r *Replica) commit(ctx context.Context, record *registry.Record, history []registry.Entry) (int64, error) {
	h := r.heads[r.log] // writing is held: nobody else changes it
	if most := maxEntries(r.chain); h.Size >= most {
		return 0, fmt.Errorf("%w: the log has %d entries, the charter allows no more", registry.ErrLimit, h.Size)
	}
	row := newRow(r.log, h.Size, record)
	reader := r.reader(ctx, r.log)
	var err error
	if row.Hashes, err = registry.StoredHashes(h.Size, record.Raw, reader); err != nil {
		return 0, fmt.Errorf("append to the log: %w", err)
	}
	root, err := registry.TreeRoot(h.Size+1, reader.with(h.Size, row.Hashes))
	if err != nil {
		return 0, fmt.Errorf("append to the log: %w", err)
	}
	checkpoint, err := registry.SignCheckpoint(r.key, r.origin, h.Size+1, root)
	if err != nil {
		return 0, err
	}
	// From here on a cancelled request must not leave the outcome open.
	update := Update{Log: r.log, Own: true, Before: h.Size, Rows: []Row{row}, Checkpoint: checkpoint}
	if err := r.store.Write(context.WithoutCancel(ctx), update); err != nil {
		r.unsure = true
		return 0, fmt.Errorf("append to the log: %w", err)
	}
	r.adopt(row, record, checkpoint, history)
	return row.Index, nil
}

// adopt takes a stored record of the own log into memory.
func (r *Replica) adopt(row Row, record *registry.Record, checkpoint *registry.Checkpoint, history []registry.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clients := r.heads[r.log].clients
	if row.CID == row.Client {
		clients++
	}
	r.heads[r.log] = &head{Checkpoint: checkpoint, entries: checkpoint.Size, clients: clients}
	r.lastIAT = max(r.lastIAT, record.IssuedAt)
	r.generation++
	entry := registry.Entry{Record: record, Index: row.Index}
	if record.Broker != nil {
		r.setBroker(r.log, entry)
		r.refold(r.now())
		return
	}
	r.cache.remove(row.Client)
	if _, known := r.stops[row.Client]; known || row.Stops {
		r.stops[row.Client] = append(history[:len(history):len(history)], entry)
		r.refold(r.now())
	}
}

// drafting is the work of one Append before anything is stored.
type drafting struct {
	*Replica
	now     time.Time
	claims  registry.Claims
	history []registry.Entry // all records about the client
}

func (d *drafting) sign(ctx context.Context, draft Draft) (*registry.Record, error) {
	switch {
	case draft.Broker != nil && draft.Registration == nil && draft.Revocation == nil:
		b := *draft.Broker
		b.Claims, b.RecordKey = d.claims, d.key.JWK()
		return registry.SignBroker(d.key, b)
	case draft.Registration != nil && draft.Broker == nil && draft.Revocation == nil:
		return d.registration(ctx, *draft.Registration)
	case draft.Revocation != nil && draft.Broker == nil && draft.Registration == nil:
		return d.revocation(ctx, *draft.Revocation)
	}
	return nil, errors.New("a draft has exactly one body")
}

// client loads all that is known of a client.
func (d *drafting) client(ctx context.Context, id string) (registry.ClientState, error) {
	state, err := d.Client(ctx, id)
	if err != nil {
		return state, err
	}
	if entries, ok := d.stops[id]; ok {
		d.history = entries
		return state, nil
	}
	d.history, err = d.entriesOf(ctx, id)
	return state, err
}

func (d *drafting) registration(ctx context.Context, r registry.Registration) (*registry.Record, error) {
	r.Claims, r.Sequence, r.Previous = d.claims, 0, ""
	if r.Client == "" {
		if have, most := d.heads[d.log].clients, d.chain.Latest().ClientsPerMember; have >= most {
			return nil, fmt.Errorf("%w: this broker has registered %d clients, the charter allows no more", registry.ErrLimit, have)
		}
		return registry.SignRegistration(d.key, r)
	}
	state, err := d.client(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	if state.Home != d.issuer {
		return nil, fmt.Errorf("%w: client %s was registered by %s, which alone can change it", registry.ErrConflict, r.Client, state.Home)
	}
	if err := notFinal(state); err != nil {
		return nil, err
	}
	r.Sequence, r.Previous = state.Sequence+1, state.Last
	record, err := registry.SignRegistration(d.key, r)
	if err != nil {
		return nil, err
	}
	return record, d.counts(record)
}

// notFinal refuses work on a client that is stopped for good.
func notFinal(state registry.ClientState) error {
	switch state.Status {
	case registry.ClientRevoked:
		return fmt.Errorf("%w: client %s is revoked (%s), which is final", registry.ErrRevoked, state.ID, state.Reason)
	case registry.ClientDisputed:
		return fmt.Errorf("%w: client %s is disputed, since its home contradicted itself; it can only be revoked", registry.ErrConflict, state.ID)
	}
	return nil
}

// counts makes sure that a record of the home has its effect. It is the fold
// that decides; this is how a mistake above would show before it is signed
// into a log for ever.
func (d *drafting) counts(record *registry.Record) error {
	state := d.foldWith(d.history, record)
	if state.Last != record.CID {
		return fmt.Errorf("%w: the record would not count", registry.ErrConflict)
	}
	return nil
}

// foldWith folds some entries as if record were the next one of the own log.
func (d *drafting) foldWith(entries []registry.Entry, record *registry.Record) registry.ClientState {
	entries = append(entries[:len(entries):len(entries)], registry.Entry{Record: record, Index: d.heads[d.log].Size})
	return registry.Fold(d.chain, entries, d.forks, d.now).Clients[record.ClientID()]
}
