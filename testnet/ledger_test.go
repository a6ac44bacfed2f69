// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/app"
)

// ledger remembers what the broker has acknowledged, and finds out whether it
// is still true.
type ledger struct {
	*world
	mu      sync.Mutex
	apps    []*app.App
	index   map[string]int64 // log index of each client's registration
	record  map[int64]string // what the log held at an index
	revoked map[string]bool  // clients whose revocation was acknowledged
	size    int64            // of the largest checkpoint seen
	roots   map[int64]string // root of each checkpoint seen, by size
}

// register registers a public client through the control socket, and keeps
// what was acknowledged.
func (l *ledger) register(name string) *app.App {
	l.Helper()
	a, err := l.tryRegister(name)
	if err != nil {
		l.Fatal(err)
	}
	return a
}

func (l *ledger) tryRegister(name string) (*app.App, error) {
	a := &app.App{RedirectURI: "http://127.0.0.1:1/callback", AuthMethod: "none", Secrets: l.secrets}
	metadata, err := json.Marshal(map[string]any{
		"client_name": name, "redirect_uris": []string{a.RedirectURI},
		"grant_types": []string{"authorization_code", "refresh_token"}, "token_endpoint_auth_method": "none",
	})
	if err != nil {
		return nil, err
	}
	var registered admin.App
	if err := l.control().Call(l.ctx, "/app/register", admin.AppDraft{Metadata: metadata}, &registered); err != nil {
		return nil, err
	}
	a.ClientID = registered.ClientID
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.index == nil {
		l.index, l.record = map[string]int64{}, map[int64]string{}
		l.revoked, l.roots = map[string]bool{}, map[int64]string{}
	}
	if before, ok := l.record[registered.Index]; ok {
		l.Errorf("two registrations at log index %d: %s and %s", registered.Index, before, registered.Registration)
	}
	l.apps = append(l.apps, a)
	l.index[a.ClientID], l.record[registered.Index] = registered.Index, registered.Registration
	return a, nil
}

// tryRevoke revokes a client, and keeps it when that was acknowledged.
func (l *ledger) tryRevoke(a *app.App) error {
	acknowledged := false
	err := l.control().Stop(l.ctx, admin.Stop{ClientID: a.ClientID, Action: registry.Revoke, Reason: "policy"}, func(admin.StopProgress) {
		acknowledged = true
	})
	if acknowledged {
		l.mu.Lock()
		l.revoked[a.ClientID] = true
		l.mu.Unlock()
	}
	return err
}

func (l *ledger) control() *admin.Client { return admin.Dial(l.broker.Dir) }

// check wants everything that was acknowledged, where it was, and a log that
// only grows.
func (l *ledger) check() {
	l.Helper()
	for _, a := range l.apps {
		var d struct {
			State        string `json:"state"`
			Index        int64  `json:"index"`
			Registration string `json:"registration"`
		}
		if err := json.Unmarshal(l.fetch("/federation/clients/"+a.ClientID), &d); err != nil {
			l.Fatal(err)
		}
		if want := l.index[a.ClientID]; d.Index != want || d.Registration != l.record[want] {
			l.Errorf("client %s is at index %d, acknowledged at %d", a.ClientID, d.Index, want)
		}
		if l.revoked[a.ClientID] && d.State != "revoked" {
			l.Errorf("the revocation of %s was acknowledged, and it is %s", a.ClientID, d.State)
		}
	}
	l.checkCheckpoint(string(l.fetch("/federation/log/checkpoint")))
}

// checkCheckpoint wants a checkpoint that covers all that was acknowledged,
// and no other root for a size that was seen. fault 63
func (l *ledger) checkCheckpoint(note string) {
	lines := strings.Split(note, "\n")
	if len(lines) < 3 {
		l.Fatalf("not a checkpoint: %q", note)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		l.Fatal(err)
	}
	if size < l.size {
		l.Errorf("the log has shrunk from %d to %d", l.size, size)
	}
	for index := range l.record {
		if index >= size {
			l.Errorf("index %d was acknowledged and the checkpoint covers %d", index, size)
		}
	}
	if before, ok := l.roots[size]; ok && before != lines[2] {
		l.Errorf("two roots for size %d: %s and %s", size, before, lines[2])
	}
	l.size, l.roots[size] = size, lines[2]
}

// fetch gets a document of the broker.
func (l *ledger) fetch(path string) []byte {
	l.Helper()
	res, err := http.Get(l.broker.Issuer + path)
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.Fatalf("%s answered %d: %s %v", path, res.StatusCode, data, err)
	}
	return data
}
