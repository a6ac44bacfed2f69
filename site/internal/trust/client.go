// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// Client is a client whose registration was verified here.
type Client struct {
	ID       string
	Home     string // issuer of its home broker; empty: it describes itself, ID is a URL
	Sequence int64  // seq of the registration
	registry.ClientMetadata
}

// clientDocument is the answer of /federation/clients/{id}. What the broker
// says beside the signed records is used for refusals alone.
type clientDocument struct {
	ID           string                `json:"client_id"`
	State        registry.ClientStatus `json:"state"`
	Reason       string                `json:"reason"`
	First        string                `json:"first"`
	Registration string                `json:"registration"`
	Log          string                `json:"log"`
	Index        int64                 `json:"index"`
	Checkpoint   string                `json:"checkpoint"`
	Proof        []string              `json:"proof"`
}

// knownClient is what is remembered of a client.
type knownClient struct {
	First        string `json:"first,omitempty"`
	Registration string `json:"registration,omitempty"`
	Index        int64  `json:"index,omitempty"`
	Document     string `json:"document,omitempty"` // of a client that describes itself, in place of the others
}

// Client fetches the registration of a client from one broker and verifies
// all of it: its own id, its signatures by the keys that the charter gives to
// its home broker, its inclusion under a checkpoint that is not older than one
// seen before, its metadata, and that neither it nor the brokers are stopped.
//
// Errors: registry.ErrNotFound when the broker knows no such client,
// registry.ErrRevoked when it is stopped, registry.ErrStale when the site
// cannot know whether it is; any other means that the broker did not prove
// what it said, or said nothing.
func (f *Federation) Client(ctx context.Context, broker, id string) (*Client, error) {
	if err := registry.CheckClientID(id); err != nil {
		return nil, fmt.Errorf("%w: client_id: %w", registry.ErrNotFound, err)
	}
	if err := f.Fresh(); err != nil {
		return nil, err
	}
	if err := f.BrokerActive(broker); err != nil {
		return nil, err
	}
	if registry.IsClientURL(id) {
		return f.urlClient(ctx, id)
	}
	var doc clientDocument
	if err := f.getJSON(ctx, broker, "/federation/clients/"+url.PathEscape(id), maxClientBytes, &doc); err != nil {
		return nil, err
	}
	c, err := f.verifyClient(ctx, broker, id, &doc)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	if doc.State != registry.ClientActive {
		return nil, fmt.Errorf("%w: the broker %s says that it is %q (%q)", registry.ErrRevoked, broker, doc.State, doc.Reason)
	}
	if err := f.usable(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// verifyClient checks what the signed records prove, and remembers it.
func (f *Federation) verifyClient(ctx context.Context, broker, id string, doc *clientDocument) (*Client, error) {
	if registry.CID([]byte(doc.First)) != id {
		return nil, errors.New("its first record has another CID than its client_id")
	}
	first, err := registry.ParseRecord([]byte(doc.First), registry.KindRegistration)
	if err != nil {
		return nil, fmt.Errorf("first record: %w", err)
	}
	chain, err := f.chainWith(ctx, broker, first.KeyID)
	if err != nil {
		return nil, err
	}
	if err := verifyFirst(chain, first, doc.Index); err != nil {
		return nil, fmt.Errorf("first record: %w", err)
	}
	reg, err := registry.ParseRecord([]byte(doc.Registration), registry.KindRegistration)
	if err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	if reg.ClientID() != id || reg.Issuer != first.Issuer {
		return nil, errors.New("registration: of another client or by another broker than the home")
	}
	key, ok := chain.KeyAt(first.Issuer, doc.Index)
	if !ok {
		return nil, fmt.Errorf("registration: the charter has no key of %s for log index %d", first.Issuer, doc.Index)
	}
	if err := reg.Verify(key); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	if err := f.verifyInclusion(ctx, chain, first.Issuer, doc); err != nil {
		return nil, err
	}
	if err := f.rememberClient(ctx, id, reg, doc); err != nil {
		return nil, err
	}
	m := reg.Registration.ClientMetadata
	if err := registry.CheckMetadata(&m); err != nil {
		return nil, err
	}
	return &Client{ID: id, Home: first.Issuer, Sequence: reg.Registration.Sequence, ClientMetadata: m}, nil
}

// chainWith returns the charters. Where they do not know a key, the broker is
// asked for newer ones: the home of the client may be a member since just now.
func (f *Federation) chainWith(ctx context.Context, broker, keyID string) (*registry.Chain, error) {
	chain := f.now.Load().chain
	if _, _, ok := chain.MemberByKey(keyID); ok {
		return chain, nil
	}
	f.polling.Lock()
	defer f.polling.Unlock()
	_, err := f.follow(ctx, broker)
	return f.now.Load().chain, err
}

// verifyFirst checks the signature of a client's first record by a key that
// its home broker had before the registration at index.
func verifyFirst(chain *registry.Chain, first *registry.Record, index int64) error {
	member, key, ok := chain.MemberByKey(first.KeyID)
	if !ok || member.Issuer != first.Issuer || key.From > index {
		return fmt.Errorf("signed by a key that %s had not", first.Issuer)
	}
	pub, err := key.Key.PublicKey()
	if err != nil {
		return err
	}
	return first.Verify(pub)
}

func (f *Federation) verifyInclusion(ctx context.Context, chain *registry.Chain, home string, doc *clientDocument) error {
	c, err := f.keepCheckpoint(ctx, chain, doc.Log, []byte(doc.Checkpoint))
	if err != nil {
		return err
	}
	if c.Origin != registry.Origin(home) {
		return errors.New("checkpoint: not of the log of the home broker")
	}
	if len(doc.Proof) > 64 {
		return errors.New("inclusion proof: longer than any log needs")
	}
	proof := make([]registry.Hash, len(doc.Proof))
	for i, s := range doc.Proof {
		b, err := jws.Base64.DecodeString(s)
		if err != nil || len(b) != len(proof[i]) {
			return errors.New("inclusion proof: not base64url hashes")
		}
		copy(proof[i][:], b)
	}
	return registry.CheckInclusion(proof, c.Size, c.Root, doc.Index, registry.LeafHash(doc.Registration))
}

// rememberClient stores a verified registration; registry.ErrStale when a
// newer one was seen before.
func (f *Federation) rememberClient(ctx context.Context, id string, reg *registry.Record, doc *clientDocument) error {
	value, err := json.Marshal(knownClient{First: doc.First, Registration: doc.Registration, Index: doc.Index})
	if err != nil {
		return err
	}
	known, err := f.Memory.Fact(ctx, KindClient, id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	seq := reg.Registration.Sequence
	if err != nil || known.Position < seq {
		if known, err = f.Memory.Remember(ctx, Fact{KindClient, id, seq, string(value)}); err != nil {
			return err
		}
	}
	if known.Position > seq {
		return fmt.Errorf("%w registration: seq %d, but %d was seen before", registry.ErrStale, seq, known.Position)
	}
	if k, err := parseKnown(known); err != nil || k.Registration != doc.Registration {
		return fmt.Errorf("registration: %w: another one with seq %d was seen before", registry.ErrConflict, seq)
	}
	return nil
}

func parseKnown(f Fact) (knownClient, error) {
	var k knownClient
	err := strictjson.Unmarshal([]byte(f.Value), &k)
	return k, err
}

// usable judges a verified client and its registration.
func (f *Federation) usable(ctx context.Context, c *Client) error {
	if err := f.Stopped(ctx, c.ID, c.Home); err != nil {
		return err
	}
	if least := f.now.Load().list.LeastSequence(c.ID); c.Sequence < least {
		return fmt.Errorf("%w: its credentials were compromised and are replaced since seq %d", registry.ErrRevoked, least)
	}
	return nil
}

// Known is what the site has verified of a client earlier. registry.ErrNotFound
// when it has met no such client.
func (f *Federation) Known(ctx context.Context, id string) (*Client, error) {
	fact, err := f.Memory.Fact(ctx, KindClient, id)
	if err != nil {
		return nil, err
	}
	return f.Recall(fact)
}

// Recall parses what is known of a client, a fact of KindClient, once for as
// long as it stays the same: every new token asks for it.
func (f *Federation) Recall(fact Fact) (*Client, error) {
	if c, ok := f.parsed.client(fact); ok {
		return c, nil
	}
	k, err := parseKnown(fact)
	if err != nil {
		return nil, err
	}
	if k.Document != "" {
		c, err := parseDocument(fact.Name, k.Document)
		if err == nil {
			f.parsed.keep(fact, c)
		}
		return c, err
	}
	reg, err := registry.ParseRecord([]byte(k.Registration), registry.KindRegistration)
	if err != nil {
		return nil, err
	}
	c := &Client{
		ID: fact.Name, Home: reg.Issuer, Sequence: reg.Registration.Sequence,
		ClientMetadata: reg.Registration.ClientMetadata,
	}
	f.parsed.keep(fact, c)
	return c, nil
}

// maxParsed bounds parsedClients: one may take 32 KiB.
const maxParsed = 256

// parsedClients are facts of clients that were parsed. They are never changed.
type parsedClients struct {
	mu    sync.Mutex
	facts map[string]parsedClient // by id
}

type parsedClient struct {
	value  string
	client *Client
}

func (p *parsedClients) client(f Fact) (*Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.facts[f.Name]
	return known.client, ok && known.value == f.Value
}

func (p *parsedClients) keep(f Fact, c *Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.facts) >= maxParsed {
		clear(p.facts)
	}
	if p.facts == nil {
		p.facts = map[string]parsedClient{}
	}
	p.facts[f.Name] = parsedClient{f.Value, c}
}
