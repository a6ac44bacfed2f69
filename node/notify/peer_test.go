// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer = "https://broker.example"
	start  = 1790000000
)

var (
	federation = registry.CID([]byte("charter"))
	opening    = time.Unix(start, 0)
	tokenKey   = func() registry.SigningKey { return key("broker") }
)

func key(name string) registry.SigningKey {
	seed := sha256.Sum256([]byte(name))
	return registry.NewSigningKey(ed25519.NewKeyFromSeed(seed[:]))
}

// message makes the nth message for a site: a token was revoked.
func message(site string, n int) notify.Message {
	return notify.Message{
		Site: site,
		Event: protocol.Event{
			Issuer: issuer, Audience: "https://wiki.example", ID: fmt.Sprintf("event-%016d", n),
			TokenRevoked: &protocol.TokenRevoked{
				TokenHash: protocol.TokenHash(fmt.Sprint(n)), ExpiresAt: start + 3600, Reason: "not-acknowledged",
			},
		},
		ExpiresAt: start + 3600,
	}
}

// peer is a site on loopback that stores events as sites do: a jti once.
type peer struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) // nil: 202

	mu     sync.Mutex
	events []*protocol.SignedEvent // as they came
	stored map[string]bool         // jti
}

func newPeer(t testing.TB) *peer {
	p := &peer{stored: map[string]bool{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP takes one event.
func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e, err := protocol.ParseEvent(string(body))
	if err != nil || r.Header.Get("Content-Type") != "application/secevent+jwt" || r.Header.Get("Accept") != "application/json" ||
		r.Method != http.MethodPost {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	if p.answer != nil {
		p.answer(w, r, e)
		return
	}
	p.store(e)
	w.WriteHeader(http.StatusAccepted)
}

func (p *peer) store(e *protocol.SignedEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored[e.ID] = true
}

// seen returns the events as they came, and how many different ones are stored.
func (p *peer) seen() ([]*protocol.SignedEvent, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events, len(p.stored)
}

// directory finds sites whose address is their resource.
type directory struct{}

func (directory) Site(_ context.Context, resource string) (*sites.Site, error) {
	if resource == "https://polling.example" {
		return &sites.Site{}, nil
	}
	return &sites.Site{SiteMetadata: protocol.SiteMetadata{Resource: resource, EventsEndpoint: resource}}, nil
}

func newSender(t testing.TB, c guard.Config) *notify.Sender {
	client := guard.New(c)
	t.Cleanup(client.CloseIdleConnections)
	return notify.NewSender(notify.SenderConfig{
		Client: client, Sites: directory{}, Key: tokenKey, Now: func() time.Time { return opening }, Timeout: c.Timeout,
	})
}
