// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// clock is a wall clock that stands still until a test moves it; a nil clock
// is the real one.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1790000000, 0)} }

func (c *clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Unix() int64 { return c.Now().Unix() }

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// plainTB lets an Example or a fuzz target use what is written for tests.
type plainTB struct {
	testing.TB
	cleanups []func()
}

func (t *plainTB) Helper() {}
func (t *plainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "site")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
func (t *plainTB) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *plainTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (t *plainTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (t *plainTB) end() {
	for _, f := range t.cleanups {
		f()
	}
}

// federation is a few small honest brokers that share one truth: what they
// serve over HTTP is real (charter, logs, proofs, views, stop list), only how
// it moves between them is left out.
type federation struct {
	t       testing.TB
	clock   *clock
	mu      sync.Mutex // guards everything below, and the brokers
	brokers []*broker
	chain   *registry.Chain
	charter registry.Charter
}

// broker is one member. A test makes it lie by its hook.
type broker struct {
	*httptest.Server
	fed           *federation
	issuer        string
	record, token registry.SigningKey
	self          string // its broker record
	log           testLog
	view          *registry.Record
	hook          func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	asked         map[string]int                                    // requests by path
}

// testLog is a Merkle log in memory.
type testLog struct {
	raws   []string
	hashes []registry.Hash
}

func (l *testLog) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	out := make([]registry.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func (l *testLog) append(t testing.TB, raw string) int64 {
	t.Helper()
	index := int64(len(l.raws))
	hashes, err := registry.StoredHashes(index, raw, l)
	must(t, err)
	l.raws, l.hashes = append(l.raws, raw), append(l.hashes, hashes...)
	return index
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newFederation starts n brokers.
func newFederation(t testing.TB, n int) *federation {
	t.Helper()
	f := &federation{t: t, clock: newClock()}
	f.charter = registry.Charter{
		Version: 1, IssuedAt: f.clock.Unix() - 1000, Threshold: 1, MaxSuspension: 86400, SuspensionQuota: 20,
		MaxAge: 120, ClientsPerMember: 1000,
	}
	for range n {
		b := &broker{fed: f, record: registry.GenerateSigningKey(), token: registry.GenerateSigningKey(), asked: map[string]int{}}
		b.Server = httptest.NewServer(b)
		t.Cleanup(b.Close)
		b.issuer = b.URL
		f.brokers = append(f.brokers, b)
		f.charter.Members = append(f.charter.Members, registry.Member{
			Issuer: b.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: b.record.JWK()}},
		})
	}
	f.charter.Threshold = n/2 + 1
	f.found("test")
	for _, b := range f.brokers {
		b.announce()
	}
	return f
}

// found makes the members a federation of that name, whatever they were before.
func (f *federation) found(name string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.charter.Name = name
	var keys []registry.SigningKey
	for _, b := range f.brokers[:len(f.charter.Members)] {
		keys = append(keys, b.record)
	}
	first, err := registry.NewCharter(f.charter, keys...)
	must(f.t, err)
	f.chain, err = registry.NewChain(first)
	must(f.t, err)
}

// amend adds a charter that change makes out of the latest.
func (f *federation) amend(change func(*registry.Charter)) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.chain.Latest().Charter
	next.Members = append([]registry.Member(nil), next.Members...)
	next.Version++
	next.Previous, next.IssuedAt = f.chain.Latest().CID, f.clock.Unix()
	change(&next)
	var keys []registry.SigningKey
	for _, b := range f.brokers {
		keys = append(keys, b.record)
	}
	signed, err := registry.NewCharter(next, keys...)
	must(f.t, err)
	f.chain, err = f.chain.Extend(signed)
	must(f.t, err)
}

func (f *federation) id() string { return f.chain.Federation() }

// state is the fold of all logs.
func (f *federation) state() *registry.State {
	var entries []registry.Entry
	for _, b := range f.brokers {
		for i, raw := range b.log.raws {
			r, err := registry.ParseRecord([]byte(raw))
			must(f.t, err)
			entries = append(entries, registry.Entry{Record: r, Index: int64(i)})
		}
	}
	return registry.Fold(f.chain, entries, nil, f.clock.Now())
}

func (f *federation) list() *registry.StopList { return f.state().StopList(f.clock.Now()) }

// announce puts a broker record with the present token key into the log.
func (b *broker) announce() {
	b.fed.t.Helper()
	r, err := registry.SignBroker(b.record, registry.Broker{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.fed.clock.Unix()}, Organisation: "Test " + b.issuer,
		RecordKey: b.record.JWK(), TokenKeys: []registry.JWK{b.token.JWK()},
		Endpoints: map[string]string{"token_endpoint": b.issuer + "/oauth/token"},
	})
	must(b.fed.t, err)
	b.self = r.Raw
	b.log.append(b.fed.t, r.Raw)
}

// register makes a client and returns its id.
func (b *broker) register(m registry.ClientMetadata) string {
	b.fed.t.Helper()
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	r, err := registry.SignRegistration(b.record, registry.Registration{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.fed.clock.Unix()}, ClientMetadata: m,
	})
	must(b.fed.t, err)
	b.log.append(b.fed.t, r.Raw)
	return r.CID
}

// update appends another registration of a client.
func (b *broker) update(id string, m registry.ClientMetadata, compromised bool) {
	b.fed.t.Helper()
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	c := b.fed.state().Clients[id]
	r, err := registry.SignRegistration(b.record, registry.Registration{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.fed.clock.Unix()}, ClientMetadata: m, Compromised: compromised,
		Sequence: c.Sequence + 1, Previous: c.Last, Client: id,
	})
	must(b.fed.t, err)
	b.log.append(b.fed.t, r.Raw)
}

// stop appends a revocation record about a client and returns it. change may
// be nil.
func (b *broker) stop(id string, action registry.Action, change func(*registry.Revocation)) string {
	b.fed.t.Helper()
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	raw := b.sign(id, action, change)
	b.log.append(b.fed.t, raw)
	return raw
}

// sign makes a revocation record without putting it into the log.
func (b *broker) sign(id string, action registry.Action, change func(*registry.Revocation)) string {
	c := b.fed.state().Clients[id]
	rev := registry.Revocation{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.fed.clock.Unix()}, Client: id, Action: action,
		Reason: "policy", Charter: b.fed.chain.Latest().CID,
	}
	if c.Home == b.issuer {
		rev.Sequence, rev.Previous = c.Sequence+1, c.Last
	}
	if change != nil {
		change(&rev)
	}
	r, err := registry.SignRevocation(b.record, rev)
	must(b.fed.t, err)
	return r.Raw
}

// newestView is the member's view of this second; one view a second.
func (b *broker) newestView() *registry.Record {
	now := b.fed.clock.Unix()
	if b.view != nil && b.view.IssuedAt >= now {
		return b.view
	}
	b.view = b.viewOf(b.fed.list(), now)
	return b.view
}

func (b *broker) viewOf(list *registry.StopList, at int64) *registry.Record {
	root, err := registry.TreeRoot(int64(len(b.log.raws)), &b.log)
	must(b.fed.t, err)
	v, err := registry.SignView(b.record, registry.View{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: at}, Charter: b.fed.chain.Latest().CID,
		LogSize: int64(len(b.log.raws)), LogRoot: jws.Base64.EncodeToString(root[:]),
		StopCount: list.Count(), StopHash: list.Hash(),
	})
	must(b.fed.t, err)
	return v
}

func (b *broker) checkpoint() string {
	size := int64(len(b.log.raws))
	root, err := registry.TreeRoot(size, &b.log)
	must(b.fed.t, err)
	c, err := registry.SignCheckpoint(b.record, registry.Origin(b.issuer), size, root)
	must(b.fed.t, err)
	return string(c.Raw)
}

// lie makes the broker answer in another way from now on; nil ends it.
func (b *broker) lie(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	b.hook = hook
}

// silence makes it answer 503 to everything.
func (b *broker) silence() {
	b.lie(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
}

func (b *broker) count(path string) int {
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	return b.asked[path]
}

func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	b.asked[r.URL.Path]++
	if b.hook != nil && b.hook(w, r) {
		return
	}
	b.answer(w, r)
}

func (b *broker) answer(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/federation/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind, name, _ := strings.Cut(rest, "/")
	switch kind {
	case "charter":
		b.answerCharter(w, r, name)
	case "status":
		writeJSON(w, b.status(r.URL.Query().Get("members")))
	case "stopped":
		w.Header().Set("Content-Type", "text/plain")
		w.Write(b.fed.list().Bytes())
	case "clients":
		c, ok := b.fed.state().Clients[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		writeJSON(w, b.fed.document(c))
	case "brokers":
		for _, m := range b.fed.brokers {
			if m.record.ID() == name {
				io.WriteString(w, m.self)
				return
			}
		}
		http.NotFound(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (b *broker) answerCharter(w http.ResponseWriter, r *http.Request, version string) {
	charter := b.fed.chain.Latest()
	if version != "" {
		n, _ := strconv.ParseInt(version, 10, 64)
		if charter = b.fed.chain.Version(n); charter == nil {
			http.NotFound(w, r)
			return
		}
	}
	w.Write(charter.Raw)
}

func (b *broker) status(members string) map[string]any {
	views, checkpoints := []string{}, map[string]string{}
	for _, m := range b.fed.brokers {
		if strings.Contains(members, m.record.ID()) {
			views = append(views, m.newestView().Raw)
			checkpoints[m.record.ID()] = m.checkpoint()
		}
	}
	return map[string]any{"views": views, "checkpoints": checkpoints}
}

// document is the answer of /federation/clients/{id}.
func (f *federation) document(c registry.ClientState) map[string]any {
	home := f.home(c.Home)
	proof, err := registry.ProveInclusion(int64(len(home.log.raws)), c.Index, &home.log)
	must(f.t, err)
	hashes, records := []string{}, []string{}
	for _, h := range proof {
		hashes = append(hashes, jws.Base64.EncodeToString(h[:]))
	}
	for _, r := range c.Because {
		records = append(records, r.Raw)
	}
	return map[string]any{
		"client_id": c.ID, "state": c.Status, "home": c.Home, "first": c.First.Raw, "registration": c.Registration.Raw,
		"records": records, "log": home.record.ID(), "index": c.Index, "checkpoint": home.checkpoint(), "proof": hashes,
	}
}

func (f *federation) home(issuer string) *broker {
	for _, b := range f.brokers {
		if b.issuer == issuer {
			return b
		}
	}
	f.t.Fatalf("no broker %s", issuer)
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// event signs an event of this broker for a site.
func (b *broker) event(audience string, change func(*protocol.Event)) string {
	b.fed.t.Helper()
	e := protocol.Event{Issuer: b.issuer, Audience: audience, IssuedAt: b.fed.clock.Unix()}
	change(&e)
	signed, err := protocol.SignEvent(b.token, e)
	must(b.fed.t, err)
	return signed
}

// post pushes a signed event; it returns "202", or "400 err".
func post(t testing.TB, url, event string) string {
	t.Helper()
	status, body := postAs(t, url, "application/secevent+jwt", event)
	if status == http.StatusAccepted {
		return "202"
	}
	var e protocol.PushError
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return fmt.Sprint(status)
	}
	return strings.TrimSpace(fmt.Sprint(status, " ", e.Err))
}

func postAs(t testing.TB, url, contentType, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(answer)
}
