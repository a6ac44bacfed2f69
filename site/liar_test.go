// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
)

// copyOf returns what the broker honestly answers now.
func (b *broker) copyOf(path string) *httptest.ResponseRecorder {
	b.fed.mu.Lock()
	defer b.fed.mu.Unlock()
	return b.answerTo(path)
}

func (b *broker) answerTo(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.answer(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// replay answers every request under prefix with a recorded answer.
func replay(prefix string, old *httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
		w.Header().Set("Content-Type", old.Header().Get("Content-Type"))
		w.WriteHeader(old.Code)
		w.Write(old.Body.Bytes())
		return true
	}
}

func (f *federation) lie(hook func(http.ResponseWriter, *http.Request) bool) {
	for _, b := range f.brokers {
		b.lie(hook)
	}
}

// TestFault48HiddenStop, and 49: whoever holds the site's whole network can hide
// a stop for max_age, and no longer, whatever the lie is.
func TestFault48HiddenStop(t *testing.T) { // faults 48 and 49
	const members = "/federation/status?members="
	for name, lie := range map[string]func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool{
		"the older list": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			return replay("/federation/stopped", before["stopped"])
		},
		"the older list and views": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			list, views := replay("/federation/stopped", before["stopped"]), replay("/federation/status", before["status"])
			return func(w http.ResponseWriter, r *http.Request) bool { return list(w, r) || views(w, r) }
		},
		"one member's false view": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			return falseViews(f, before["stopped"].Body.Bytes(), f.brokers[:1], f.brokers[:1])
		},
		"one member's false view, the others withheld": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			return falseViews(f, before["stopped"].Body.Bytes(), f.brokers[:1], nil)
		},
		"forged views": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			thief := registry.GenerateSigningKey()
			var forged []*broker
			for _, b := range f.brokers {
				forged = append(forged, &broker{fed: f, issuer: b.issuer, record: thief, log: b.log})
			}
			return falseViews(f, before["stopped"].Body.Bytes(), forged, nil)
		},
		"no views": func(f *federation, before map[string]*httptest.ResponseRecorder) func(http.ResponseWriter, *http.Request) bool {
			return falseViews(f, before["stopped"].Body.Bytes(), nil, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t, 3)
			client := f.brokers[0].register(metadata())
			s := newSite(t, f, nil)
			token, _ := s.login("alice", client)
			before := map[string]*httptest.ResponseRecorder{
				"stopped": f.brokers[0].copyOf("/federation/stopped"),
				"status":  f.brokers[0].copyOf(members + s.fed.keys()),
			}
			f.clock.Advance(time.Second)
			f.brokers[0].stop(client, registry.Revoke, nil)
			f.lie(lie(f, before))
			for range 4 {
				f.clock.Advance(30 * time.Second)
				s.Poll(t.Context()) // what it gives does not matter
			}
			if got := s.call("/photos", token); got.StatusCode == http.StatusOK {
				t.Error("the stopped app is still accepted after 121 s")
			}
			// One honest broker is enough to know it all.
			f.brokers[2].lie(nil)
			s.poll(time.Second)
			s.wantStatus(token, http.StatusUnauthorized)
		})
	}
}

// keys are the thumbprints of all record keys.
func (f *federation) keys() string {
	var keys []string
	for _, b := range f.brokers {
		keys = append(keys, b.record.ID())
	}
	return strings.Join(keys, ",")
}

// falseViews serves an old list, with new views that the liars sign for it,
// and the honest views of all but those in hidden (nil: of nobody).
func falseViews(f *federation, list []byte, liars, hidden []*broker) func(http.ResponseWriter, *http.Request) bool {
	old, err := registry.ParseStopList(list)
	must(f.t, err)
	return func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/federation/stopped":
			w.Write(list)
			return true
		case "/federation/status":
			views := []string{}
			for _, b := range liars {
				views = append(views, b.viewOf(old, f.clock.Unix()).Raw)
			}
			for _, b := range f.brokers {
				if hidden != nil && b != hidden[0] {
					views = append(views, b.newestView().Raw)
				}
			}
			writeJSON(w, map[string]any{"views": views, "checkpoints": map[string]string{}})
			return true
		}
		return false
	}
}

// TestLyingBroker: the site's only broker lies; the other members of the
// handful are asked, and the site is never stale.
func TestLyingBroker(t *testing.T) {
	f := newFederation(t, 3)
	client := f.brokers[0].register(metadata())
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:1] })
	token, _ := s.login("alice", client)
	f.brokers[0].lie(replay("/federation/stopped", f.brokers[0].copyOf("/federation/stopped")))
	f.clock.Advance(time.Second)
	f.brokers[0].stop(client, registry.Revoke, nil)
	s.poll(30 * time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
	must(t, s.Fresh())
}

// TestClientProof: each part of what a broker says about a client is needed.
func TestClientProof(t *testing.T) {
	f := newFederation(t, 3)
	b := f.brokers[0]
	client := b.register(metadata())
	second := b.register(metadata())
	s := newSite(t, f, nil)
	document := func(id string) map[string]any {
		var doc map[string]any
		must(t, json.Unmarshal(b.copyOf("/federation/clients/"+id).Body.Bytes(), &doc))
		return doc
	}
	evil := metadata()
	evil.RedirectURIs = []string{callback, "https://evil.example/"}
	forge := func(signer *broker) string {
		r, err := registry.SignRegistration(signer.record, registry.Registration{
			Claims: registry.Claims{Issuer: signer.issuer, IssuedAt: f.clock.Unix()}, ClientMetadata: evil,
			Sequence: 1, Previous: client, Client: client,
		})
		must(t, err)
		return r.Raw
	}
	thief := &broker{fed: f, issuer: b.issuer, record: registry.GenerateSigningKey()}
	f.mu.Lock()
	other := f.brokers[1].checkpoint()
	elsewhere := &broker{fed: f, issuer: f.brokers[2].issuer, record: f.brokers[2].record} // a log with somebody else's record
	for range b.log.raws {
		elsewhere.log.append(t, forge(b))
	}
	elsewhereProof, err := registry.ProveInclusion(int64(len(b.log.raws)), 1, &elsewhere.log)
	must(t, err)
	b.log.append(t, forgeName(b, client))
	f.mu.Unlock()
	for name, change := range map[string]func(map[string]any){
		"another client": func(d map[string]any) {
			d["first"], d["registration"] = document(second)["first"], document(second)["registration"]
		},
		"another's first record": func(d map[string]any) { d["first"] = document(second)["first"] },
		"another's, with its proof": func(d map[string]any) {
			other := document(second)
			d["registration"], d["index"], d["proof"] = other["registration"], other["index"], other["proof"]
		},
		"in another broker's log": func(d map[string]any) {
			d["registration"], d["index"], d["proof"] = elsewhere.log.raws[1], 1, base64Of(elsewhereProof)
			d["log"], d["checkpoint"] = elsewhere.record.ID(), elsewhere.checkpoint()
		},
		"another registration":      func(d map[string]any) { d["registration"] = document(second)["registration"] },
		"a thief's registration":    func(d map[string]any) { d["registration"] = forge(thief) },
		"another broker's":          func(d map[string]any) { d["registration"] = forge(f.brokers[1]) },
		"not in the log":            func(d map[string]any) { d["registration"] = forge(b) },
		"altered":                   func(d map[string]any) { d["registration"] = d["registration"].(string) + "A" },
		"another place":             func(d map[string]any) { d["index"] = 0 },
		"beyond the log":            func(d map[string]any) { d["index"] = 1 << 40 },
		"no proof":                  func(d map[string]any) { d["proof"] = []string{} },
		"a false proof":             func(d map[string]any) { d["proof"] = []string{strings.Repeat("A", 43), strings.Repeat("A", 43)} },
		"no checkpoint":             func(d map[string]any) { d["checkpoint"] = "" },
		"another broker's log":      func(d map[string]any) { d["log"], d["checkpoint"] = f.brokers[1].record.ID(), other },
		"another key":               func(d map[string]any) { d["log"] = f.brokers[1].record.ID() },
		"a key of nobody":           func(d map[string]any) { d["log"] = thief.record.ID() },
		"a member twice in the doc": func(d map[string]any) { d["twice"] = json.RawMessage(`{"a":1,"a":1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(client)
			change(doc)
			b.lie(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/federation/clients/") {
					writeJSON(w, doc)
					return true
				}
				return false
			})
			wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusBadGateway)
		})
	}
	b.lie(nil)
	if got := newBrowser(s, "alice").get(s.request(client, nil)); got.StatusCode != http.StatusOK {
		t.Errorf("the honest answer: %d", got.StatusCode)
	}
}

// forgeName is an honest second registration of a client.
func forgeName(b *broker, client string) string {
	r, err := registry.SignRegistration(b.record, registry.Registration{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.fed.clock.Unix()}, ClientMetadata: metadata(),
		Sequence: 1, Previous: client, Client: client,
	})
	must(b.fed.t, err)
	return r.Raw
}

func base64Of(hashes []registry.Hash) []string {
	out := []string{}
	for _, h := range hashes {
		out = append(out, jws.Base64.EncodeToString(h[:]))
	}
	return out
}

// TestFault48OlderCheckpoint: nothing is proved by a log that was longer once.
func TestFault48OlderCheckpoint(t *testing.T) { // fault 48
	f := newFederation(t, 1)
	b := f.brokers[0]
	client := b.register(metadata())
	s := newSite(t, f, nil)
	old := b.copyOf("/federation/clients/" + client)
	b.register(metadata())
	s.poll(time.Second)
	b.lie(replay("/federation/clients/", old))
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusServiceUnavailable)
	b.lie(nil)
	if got := newBrowser(s, "alice").get(s.request(client, nil)); got.StatusCode != http.StatusOK {
		t.Errorf("the newest checkpoint: %d", got.StatusCode)
	}
}

// TestNeverBack: a list that was certified earlier than the present one is not
// taken, although enough members said it, at different times.
func TestNeverBack(t *testing.T) {
	f := newFederation(t, 3)
	client := f.brokers[0].register(metadata())
	s := newSite(t, f, nil) // every view names the list without the client
	token, _ := s.login("alice", client)
	without := func(hidden ...*broker) {
		f.lie(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/federation/status" {
				return false
			}
			views := []string{}
			for _, b := range f.brokers {
				if !slices.Contains(hidden, b) {
					views = append(views, b.newestView().Raw)
				}
			}
			writeJSON(w, map[string]any{"views": views, "checkpoints": map[string]string{}})
			return true
		})
	}
	without(f.brokers[2])
	f.brokers[0].stop(client, registry.Suspend, nil)
	s.poll(10 * time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
	f.brokers[0].stop(client, registry.Reinstate, nil)
	without(f.brokers[1:]...) // one new view and one from before the suspension agree
	f.clock.Advance(10 * time.Second)
	s.Poll(t.Context())
	s.wantStatus(token, http.StatusUnauthorized)
}

// TestFault48OlderRegistration: what was replaced is not taken any more.
func TestFault48OlderRegistration(t *testing.T) { // fault 48
	f := newFederation(t, 1)
	b := f.brokers[0]
	client := b.register(metadata())
	s := newSite(t, f, nil)
	old := b.copyOf("/federation/clients/" + client)
	moved := metadata()
	moved.RedirectURIs = []string{"https://new.example/"}
	b.update(client, moved, false)
	see := func(uri string) answer {
		return newBrowser(s, "alice").get(s.request(client, func(q url.Values) { q.Set("redirect_uri", uri) }))
	}
	if got := see("https://new.example/"); got.StatusCode != http.StatusOK {
		t.Fatalf("the new address: %d", got.StatusCode)
	}
	wantPage(t, see(callback), http.StatusBadRequest)
	b.lie(replay("/federation/clients/", old)) // its checkpoint is older too
	wantPage(t, see(callback), http.StatusServiceUnavailable)
	f.mu.Lock()
	c := f.state().Clients[client]
	c.Registration, c.Index = c.First, 1 // the old registration, really in the log, under the new checkpoint
	doc := f.document(c)
	f.mu.Unlock()
	b.lie(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/federation/clients/") {
			writeJSON(w, doc)
			return true
		}
		return false
	})
	wantPage(t, see(callback), http.StatusServiceUnavailable)
}

// TestCompromisedCredentials: an older registration that the site has not seen
// replaced is refused when the stop list says from where on they are good.
func TestCompromisedCredentials(t *testing.T) {
	f := newFederation(t, 3)
	b := f.brokers[0]
	client := b.register(metadata())
	s := newSite(t, f, nil)
	b.update(client, metadata(), true)
	s.poll(time.Second)
	f.mu.Lock()
	c := f.state().Clients[client]
	c.Registration, c.Index = c.First, 1
	doc := f.document(c)
	f.mu.Unlock()
	b.lie(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/federation/clients/") {
			writeJSON(w, doc)
			return true
		}
		return false
	})
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusForbidden)
	b.lie(nil)
	if got := newBrowser(s, "alice").get(s.request(client, nil)); got.StatusCode != http.StatusOK {
		t.Errorf("the new registration: %d", got.StatusCode)
	}
}

// TestForkedLog: two histories of one log end what the site takes from it.
func TestForkedLog(t *testing.T) {
	f := newFederation(t, 1)
	b := f.brokers[0]
	client := b.register(metadata())
	s := newSite(t, f, nil)
	if got := newBrowser(s, "alice").get(s.request(client, nil)); got.StatusCode != http.StatusOK {
		t.Fatal(got.StatusCode)
	}
	f.mu.Lock()
	fork := &broker{fed: f, issuer: b.issuer, record: b.record}
	for _, raw := range b.log.raws[:1] {
		fork.log.append(t, raw)
	}
	evil := metadata()
	evil.Name = "Evil"
	r, err := registry.SignRegistration(b.record, registry.Registration{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: f.clock.Unix()}, ClientMetadata: evil,
	})
	must(t, err)
	fork.log.append(t, r.Raw)
	proof, err := registry.ProveInclusion(2, 1, &fork.log)
	must(t, err)
	doc := map[string]any{
		"client_id": r.CID, "state": "active", "home": b.issuer, "first": r.Raw, "registration": r.Raw, "records": []string{},
		"log": b.record.ID(), "index": 1, "checkpoint": fork.checkpoint(), "proof": []string{jws.Base64.EncodeToString(proof[0][:])},
	}
	f.mu.Unlock()
	b.lie(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/federation/clients/") {
			writeJSON(w, doc)
			return true
		}
		return false
	})
	wantPage(t, newBrowser(s, "alice").get(s.request(r.CID, nil)), http.StatusBadGateway)
}

// TestCharter: the chain starts at the pinned one and never goes back.
func TestCharter(t *testing.T) {
	f, foreign := newFederation(t, 3), newFederation(t, 1)
	f.brokers[0].lie(func(w http.ResponseWriter, r *http.Request) bool {
		foreign.brokers[0].ServeHTTP(w, r)
		return true
	})
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:1] })
	if s.Fresh() == nil {
		t.Fatal("another federation's charter was believed")
	}
	f.brokers[0].lie(nil)
	s.poll(time.Second)
	must(t, s.Fresh())
	client := f.brokers[1].register(metadata())
	old := f.brokers[0].copyOf("/federation/charter")
	f.amend(func(c *registry.Charter) {
		c.Members[1].State = registry.MemberExpelled
		endKey(&c.Members[1], f.brokers[1])
	})
	s.poll(time.Second)
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusForbidden)
	f.lie(replay("/federation/charter", old))
	s.poll(time.Second)
	s.reopen()
	s.poll(time.Second)
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusForbidden)
}

// TestRedirectingBroker: a broker cannot send the site elsewhere.
func TestRedirectingBroker(t *testing.T) {
	f := newFederation(t, 1)
	elsewhere := newFederation(t, 1).brokers[0]
	f.brokers[0].lie(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.issuer+r.URL.Path, http.StatusFound)
		return true
	})
	s := newSite(t, f, nil)
	if s.Fresh() == nil || elsewhere.count("/federation/charter") != 0 {
		t.Error("the site followed a redirect")
	}
}
