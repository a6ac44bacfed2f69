// SPDX-License-Identifier: Apache-2.0

package urlclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/urlclient"
	"github.com/comity-network/comity/registry"
)

// replica knows what is in states.
type replica struct {
	states map[string]registry.ClientState
}

func (r replica) Client(_ context.Context, id string) (registry.ClientState, error) {
	if s, ok := r.states[id]; ok {
		return s, nil
	}
	return registry.ClientState{}, registry.ErrNotFound
}

func (replica) BrokerStatus(string) registry.BrokerStatus { return registry.BrokerActive }

// world is an app's own server, and a broker that asks it.
type world struct {
	*urlclient.Clients
	replica replica
	id      string
	asked   atomic.Int32
	name    atomic.Value // of the app
	status  atomic.Int32 // of its answers
	now     time.Time
}

func newWorld(t *testing.T) *world {
	open := make(chan struct{})
	close(open)
	return newWorldThatWaits(t, open)
}

// newWorldThatWaits is one whose app answers when hold is closed.
func newWorldThatWaits(t *testing.T, hold chan struct{}) *world {
	w := &world{replica: replica{map[string]registry.ClientState{}}, now: time.Unix(1_800_000_000, 0)}
	w.name.Store("App")
	w.status.Store(200)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		<-hold
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(int(w.status.Load()))
		fmt.Fprintf(rw, `{"client_id":"http://%s%s","client_name":%q,"redirect_uris":["https://app.example/cb"]}`, r.Host, r.URL.Path, w.name.Load())
	}))
	t.Cleanup(s.Close)
	w.id = s.URL + "/client"
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	w.Clients = urlclient.New(urlclient.Config{Replica: w.replica, HTTP: client, Now: func() time.Time { return w.now }})
	return w
}

// wantName looks the app up; an empty name expects err.
func (w *world) wantName(t *testing.T, name string, err error) {
	t.Helper()
	state, got := w.Client(t.Context(), w.id)
	switch {
	case name == "":
		if !errors.Is(got, err) {
			t.Errorf("%v, expected %v", got, err)
		}
	case got != nil || state.Registration == nil || state.Registration.Registration.Name != name || state.Home != "":
		t.Errorf("%+v, %v", state, got)
	}
}

// TestKept: a document counts for ten minutes, and for an hour while its host
// does not answer; a failure for half a minute.
func TestKept(t *testing.T) {
	w := newWorld(t)
	w.wantName(t, "App", nil)
	w.name.Store("New")
	w.now = w.now.Add(10*time.Minute - time.Second)
	w.wantName(t, "App", nil)
	w.now = w.now.Add(time.Second)
	w.wantName(t, "New", nil)
	if n := w.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	w.status.Store(503)
	w.now = w.now.Add(10 * time.Minute)
	w.wantName(t, "New", nil)
	w.wantName(t, "New", nil)
	if n := w.asked.Load(); n != 3 {
		t.Errorf("asked %d times: a failure is not kept", n)
	}
	w.now = w.now.Add(50 * time.Minute)
	w.wantName(t, "", clientdoc.ErrUnreachable)
	w.status.Store(200)
	w.wantName(t, "", clientdoc.ErrUnreachable)
	w.now = w.now.Add(30 * time.Second)
	w.wantName(t, "New", nil)
	w.now = w.now.Add(10 * time.Minute)
	w.status.Store(404) // taken back
	w.wantName(t, "", clientdoc.ErrNone)
}

// TestAskedOnce: many who ask at once are one question.
func TestAskedOnce(t *testing.T) {
	hold := make(chan struct{})
	w := newWorldThatWaits(t, hold)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { w.wantName(t, "App", nil) })
	}
	close(hold)
	all.Wait()
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestStoppedIsNotAsked: what members stop is stopped, and its host hears
// nothing of it.
func TestStoppedIsNotAsked(t *testing.T) {
	w := newWorld(t)
	w.replica.states[w.id] = registry.ClientState{ID: w.id, HomeStatus: registry.BrokerActive, Status: registry.ClientSuspended}
	state, err := w.Client(t.Context(), w.id)
	if err != nil || state.Status != registry.ClientSuspended || w.asked.Load() != 0 {
		t.Errorf("%+v, %v, asked %d times", state, err, w.asked.Load())
	}
}

// TestStateAsksNobody, and other ids are the replica's.
func TestStateAsksNobody(t *testing.T) {
	w := newWorld(t)
	state, err := w.State(t.Context(), w.id)
	if err != nil || state.ID != w.id || state.Status != registry.ClientActive || !state.Accepts(1) || w.asked.Load() != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	for _, id := range []string{"client", "https://app.example", registry.CID([]byte("x"))} {
		if _, err := w.State(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := w.Client(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestFetchesAreBounded: whoever names many URLs makes the broker fetch so many
// in a second, and no more.
func TestFetchesAreBounded(t *testing.T) {
	w := newWorld(t)
	for n := range 60 {
		_, err := w.Client(t.Context(), fmt.Sprint(w.id, n))
		if (err == nil) != (n < 50) {
			t.Fatalf("the %d. fetch: %v", n+1, err)
		}
	}
	w.now = w.now.Add(100 * time.Millisecond)
	if _, err := w.Client(t.Context(), w.id+"51"); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

// TestPrivateAddresses: the guard refuses them (fault 33).
func TestPrivateAddresses(t *testing.T) {
	w := newWorld(t)
	client := guard.New(guard.Config{})
	t.Cleanup(client.CloseIdleConnections)
	clients := urlclient.New(urlclient.Config{Replica: w.replica, HTTP: client, Now: func() time.Time { return w.now }})
	for _, id := range []string{w.id, "https://127.0.0.1/client", "https://10.0.0.1/client", "https://169.254.169.254/latest"} {
		if _, err := clients.Client(t.Context(), id); !errors.Is(err, clientdoc.ErrUnreachable) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if w.asked.Load() != 0 {
		t.Error("a private address was asked")
	}
}
