// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/registry"
)

// three is a desk in a federation of three, whose other members act by hand.
func three(t *testing.T) (w *world, b, c *broker) {
	t.Helper()
	w = newWorld(t)
	b, c = newBroker(t, w.clock), newBroker(t, w.clock)
	_, err := w.desk.Approve(t.Context(), w.post(b.record()).ID)
	check(t, err)
	o, err := w.desk.Approve(t.Context(), w.post(c.record()).ID)
	check(t, err)
	w.sign(o.Charter, c.key)
	if len(w.replica.Chain().ActiveMembers()) != 3 {
		t.Fatal("they are not three")
	}
	return w, b, c
}

// sign adds a signature of another member, or of an applicant, to a proposal.
func (w *world) sign(p *registry.SignedCharter, k registry.SigningKey) {
	w.Helper()
	signed, err := p.AddSignature(k)
	check(w, err)
	_, err = w.replica.Accept(w.Context(), federation.Inbound{Charter: signed.Raw})
	check(w, err)
}

// offer hands over another member's proposal.
func (w *world) offer(k registry.SigningKey, change func(*registry.Charter)) *registry.SignedCharter {
	w.Helper()
	newest := w.replica.Chain().Latest()
	next := newest.Charter
	next.Version, next.Previous = newest.Version+1, newest.CID
	next.Members = append([]registry.Member(nil), newest.Members...)
	next.IssuedAt = max(w.clock.now().Unix(), newest.IssuedAt)
	change(&next)
	signed, err := registry.NewCharter(next, k)
	check(w, err)
	_, err = w.replica.Accept(w.Context(), federation.Inbound{Charter: signed.Raw})
	check(w, err)
	return signed
}

// One member cannot keep itself from being expelled, whatever it proposes: not
// even a charter that changes nothing.
func TestExpelWhatProposes(t *testing.T) {
	w, b, c := three(t)
	w.offer(b.key, func(*registry.Charter) {})
	w.offer(b.key, func(next *registry.Charter) { next.MaxAge++ })
	o, err := w.desk.Expel(t.Context(), b.issuer())
	check(t, err)
	if o.InForce || o.Approval != (membership.Tally{Have: 1, Need: 2}) {
		t.Fatalf("%+v", o)
	}
	w.sign(o.Charter, c.key)
	if o = w.desk.Follow(t.Context(), o); !o.InForce || len(w.replica.Proposals()) != 0 {
		t.Fatalf("%+v, %d proposals", o, len(w.replica.Proposals()))
	}
}

// What enough of the present members have signed is not to be overtaken: if the
// applicant signs late, there would be two successors.
func TestExpelWaitsForWhatIsDecided(t *testing.T) {
	w, b, c := three(t)
	d := newBroker(t, w.clock)
	p := w.offer(b.key, func(next *registry.Charter) {
		next.Threshold = 3
		next.Members = append(next.Members, registry.Member{
			Issuer: d.issuer(), State: registry.MemberActive, Keys: []registry.MemberKey{{Key: d.key.JWK()}},
		})
	})
	w.sign(p, c.key)
	_, err := w.desk.Expel(t.Context(), b.issuer())
	if !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), "pending") {
		t.Fatalf("%v", err)
	}
	// An applicant that never signs holds it up for a week.
	w.clock.forward(federation.ProposalLife * time.Second)
	if _, err := w.desk.Expel(t.Context(), b.issuer()); err != nil {
		t.Fatal(err)
	}
}

// An applicant that was approved and never signs blocks the queue for a week.
func TestApplicantNeverSigns(t *testing.T) {
	w := newWorld(t)
	_, err := w.desk.Approve(t.Context(), w.post(newBroker(t, w.clock).record()).ID)
	check(t, err)
	silent, next := newBroker(t, w.clock), newBroker(t, w.clock)
	o, err := w.desk.Approve(t.Context(), w.post(silent.record()).ID)
	check(t, err)
	w.clock.forward(membership.RequestLife - time.Minute)
	a := w.post(next.record())
	queued, err := w.desk.Approve(t.Context(), a.ID)
	if err != nil || queued.Charter != nil || !strings.Contains(queued.Pending, silent.issuer()) {
		t.Fatalf("%+v, %v", queued, err)
	}
	w.clock.forward(2 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.desk.Run(ctx) }()
	for w.get(a.ID).State != membership.Proposed && t.Context().Err() == nil {
	}
	cancel()
	check(t, <-done)
	if o = w.desk.Follow(t.Context(), o); o.InForce {
		t.Fatalf("%+v", o)
	}
}

// A proposal of another member that admits an applicant and changes more in
// passing is never handed to the applicant, whose signature would count.
func TestOnlyPureProposalsAreCountersigned(t *testing.T) {
	w, b, c := three(t)
	d := newBroker(t, w.clock)
	a := w.post(d.record())
	admit := func(next *registry.Charter) {
		next.Members = append(next.Members, registry.Member{
			Issuer: d.issuer(), State: registry.MemberActive, Keys: []registry.MemberKey{{Key: d.key.JWK()}},
		})
	}
	sly := w.offer(b.key, func(next *registry.Charter) { admit(next); next.ViewQuorum = 1 })
	w.sign(sly, c.key)
	w.want(a.ID, membership.Waiting)
	pure := w.offer(b.key, admit)
	if shown := w.want(a.ID, membership.Proposed); string(shown.Charter) != string(pure.Raw) {
		t.Fatalf("%s", shown.Charter)
	}
}

// Nothing hides behind a change of state.
func TestChangesOfKeysAreShown(t *testing.T) {
	w, b, c := three(t)
	five := int64(5)
	other := registry.MemberKey{Key: registry.GenerateSigningKey().JWK(), From: 5}
	for name, test := range map[string]struct {
		change func(*registry.Member)
		want   string
	}{
		"suspended": {func(m *registry.Member) { m.State = registry.MemberSuspended }, "state"},
		"suspended, other keys": {func(m *registry.Member) {
			m.State = registry.MemberSuspended
			m.Keys[0].Until = &five
			m.Keys = append(m.Keys, other)
		}, "state keys"},
		"other keys": {func(m *registry.Member) { m.Keys[0].Until = &five; m.Keys = append(m.Keys, other) }, "keys"},
		"expelled":   {func(m *registry.Member) { m.State = registry.MemberExpelled; m.Keys[0].Until = &five }, "expel"},
		"expelled, other keys": {func(m *registry.Member) {
			m.State = registry.MemberExpelled
			six, last := int64(6), other
			last.Until = &six
			m.Keys[0].Until = &five
			m.Keys = append(m.Keys, last)
		}, "expel keys"},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.offer(b.key, func(next *registry.Charter) {
				for i := range next.Members {
					if m := &next.Members[i]; m.Issuer == c.issuer() {
						m.Keys = append([]registry.MemberKey(nil), m.Keys...)
						test.change(m)
					}
				}
			})
			var kinds []string
			for _, change := range membership.Changes(&w.replica.Chain().Latest().Charter, &p.Charter) {
				kinds = append(kinds, change.Kind)
			}
			if got := strings.Join(kinds, " "); got != test.want {
				t.Errorf("%q, expected %q", got, test.want)
			}
		})
	}
}

// liar is a broker that one asks for membership, and that answers as it likes.
type liar struct {
	key    registry.SigningKey
	server *httptest.Server
	raws   [][]byte          // charters, by version
	state  membership.Answer // of every request
	id     string            // instead of the true one
	asked  atomic.Int64
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{key: registry.GenerateSigningKey(), state: membership.Answer{State: membership.Waiting}}
	l.server = httptest.NewServer(l)
	t.Cleanup(l.server.Close)
	c := federation.DefaultCharter()
	c.Version, c.IssuedAt = 1, time.Now().Unix()
	c.Members = []registry.Member{{Issuer: l.server.URL, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: l.key.JWK()}}}}
	first, err := registry.NewCharter(c, l.key)
	check(t, err)
	l.raws = [][]byte{first.Raw}
	return l
}

// next makes the version after the newest, and does not show it.
func (l *liar) next(t *testing.T, change func(*registry.Charter)) *registry.SignedCharter {
	t.Helper()
	newest, err := registry.ParseCharter(l.raws[len(l.raws)-1])
	check(t, err)
	c := newest.Charter
	c.Version, c.Previous = c.Version+1, newest.CID
	change(&c)
	signed, err := registry.NewCharter(c, l.key)
	check(t, err)
	return signed
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/federation":
		first, _ := registry.ParseCharter(l.raws[0])
		fmt.Fprintf(w, `{"federation":%q}`, first.CID)
	case path == "/federation/charter":
		w.Write(l.raws[len(l.raws)-1])
	case strings.HasPrefix(path, "/federation/charter/"):
		var n int
		fmt.Sscan(strings.TrimPrefix(path, "/federation/charter/"), &n)
		w.Write(l.raws[min(n, len(l.raws))-1])
	default:
		l.asked.Add(1)
		a := l.state
		if r.Method == http.MethodPost && path == "/federation/requests" {
			body, _ := io.ReadAll(r.Body)
			if a.ID = registry.CID(body); l.id != "" {
				a.ID = l.id
			}
			w.WriteHeader(http.StatusAccepted)
		}
		json.NewEncoder(w).Encode(a)
	}
}

// applicant is a broker that asks the liar.
func (l *liar) applicant(t *testing.T) *membership.Applicant {
	t.Helper()
	key := registry.GenerateSigningKey()
	const issuer = "http://127.0.0.1:1"
	replica, err := federation.Open(t.Context(), federation.Config{
		Store: new(memstore.Store), Key: key, Issuer: issuer, Log: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	return membership.NewApplicant(membership.ApplicantConfig{
		Dir: t.TempDir(), Joining: membership.Joining{URL: l.server.URL, Fresh: true}, Replica: replica, Key: key, Issuer: issuer,
		Record: func(context.Context) (*registry.Record, error) {
			return registry.SignBroker(key, registry.Broker{
				Claims:    registry.Claims{Issuer: issuer, IssuedAt: time.Now().Unix()},
				RecordKey: key.JWK(), Organisation: "Applicant", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
			})
		},
		HTTP: client, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// What a broker answers that one asks for membership is checked: it can refuse,
// and it can keep one waiting, and that is all.
func TestLyingBroker(t *testing.T) {
	for name, test := range map[string]struct {
		lie  func(t *testing.T, l *liar, a *membership.Applicant)
		want string // in the trouble, or in the error that ends it
	}{
		"another id": {func(_ *testing.T, l *liar, _ *membership.Applicant) { l.id = "x\x1b[2J" }, "not the one of this broker"},
		"an odd state": {func(_ *testing.T, l *liar, _ *membership.Applicant) {
			l.state.State = membership.State("\x1b[2J")
		}, `\x1b[2J", which is no state`},
		"a proposal without it": {func(t *testing.T, l *liar, a *membership.Applicant) {
			l.state = membership.Answer{State: membership.Proposed, Charter: l.next(t, func(c *registry.Charter) { c.MaxAge++ }).Raw}
		}, "does not list this broker"},
		"a proposal with more": {func(t *testing.T, l *liar, a *membership.Applicant) {
			l.state = membership.Answer{State: membership.Proposed, Charter: l.next(t, func(c *registry.Charter) {
				c.Members = append(c.Members, registry.Member{Issuer: a.Issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: a.Key.JWK()}}})
				c.MaxAge++
			}).Raw}
		}, "changes more than it should"},
		"a proposal that is none": {func(t *testing.T, l *liar, a *membership.Applicant) {
			l.state = membership.Answer{State: membership.Proposed, Charter: json.RawMessage(`{}`)}
		}, "the proposed charter"},
		"a version that nobody signed": {func(t *testing.T, l *liar, _ *membership.Applicant) {
			by := l.key
			l.key = registry.GenerateSigningKey()
			next := l.next(t, func(c *registry.Charter) {
				c.Members = append([]registry.Member{{Issuer: "http://127.0.0.1:2", State: registry.MemberActive, Keys: []registry.MemberKey{{Key: l.key.JWK()}}}}, c.Members...)
			})
			l.key, l.raws = by, append(l.raws, next.Raw)
		}, "charter version 2"},
		"gone by the charter": {func(t *testing.T, l *liar, a *membership.Applicant) {
			l.raws = append(l.raws, l.next(t, func(c *registry.Charter) {
				one := int64(1)
				c.Members = append(c.Members, registry.Member{Issuer: a.Issuer, State: registry.MemberExpelled, Keys: []registry.MemberKey{{Key: a.Key.JWK(), Until: &one}}})
			}).Raw)
		}, "has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			a := l.applicant(t)
			test.lie(t, l, a)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				admitted, err := a.Run(ctx)
				if admitted {
					err = errors.New("admitted")
				}
				ended <- err
			}()
			trouble := ""
			for trouble == "" {
				select {
				case err := <-ended:
					trouble = fmt.Sprint(err)
				case <-time.After(5 * time.Millisecond):
					s, _ := a.Standing()
					trouble = s.Trouble
				}
			}
			if !strings.Contains(trouble, test.want) || strings.Contains(trouble, "\x1b") {
				t.Errorf("%q, expected %q", trouble, test.want)
			}
			if s, _ := a.Standing(); strings.Contains(s.String()+string(s.State), "\x1b") {
				t.Errorf("shown to the operator: %q", s)
			}
			if v := a.Replica.Chain().Latest().Version; v != 1 {
				t.Errorf("it adopted version %d", v)
			}
		})
	}
}

// A refusal ends a broker that never stood alone, and only the request of one
// that did.
func TestRefusedApplicant(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		l := newLiar(t)
		a := l.applicant(t)
		a.Joining.Fresh = fresh
		l.state = membership.Answer{State: membership.Refused, Reason: "not \x1b[2J today"}
		admitted, err := a.Run(t.Context())
		if admitted || errors.Is(err, membership.ErrRefused) != fresh || err != nil && !fresh {
			t.Errorf("fresh %v: %v, %v", fresh, admitted, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "today") || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%q", err)
		}
	}
}

// A broker that says "admitted", or hands out the same proposal again and again,
// is not asked as fast as it answers.
func TestLyingBrokerIsNotHammered(t *testing.T) {
	for _, state := range []membership.State{membership.Admitted, membership.Proposed} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			a := l.applicant(t)
			l.state.State = state
			if state == membership.Proposed {
				l.state.Charter = l.next(t, func(c *registry.Charter) {
					c.Members = append(c.Members, registry.Member{Issuer: a.Issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: a.Key.JWK()}}})
				}).Raw
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			if admitted, err := a.Run(ctx); admitted || err != nil {
				t.Errorf("%v, %v", admitted, err)
			}
			if n := l.asked.Load(); n < 2 || n > 100 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}
