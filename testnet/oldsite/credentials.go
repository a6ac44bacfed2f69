// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// Credentials are one live set of a client's.
type Credentials struct {
	ClientID string // as the broker names the client
	Token    string // the consumer key of every signed request
	Secret   string
	Broker   string // identifier of the first that connected the client
	Callback string
	Name     string
	IssuedAt int64 // seconds since 1970
}

// Credentials returns the live sets of a client, the oldest first. The
// original plugin keeps several when brokers connect a client at once.
func (s *Site) Credentials(clientID string) []Credentials {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	var all []Credentials
	for _, c := range s.keys.sets {
		if c.ClientID == clientID {
			all = append(all, c)
		}
	}
	return all
}

// Drop ends every set of a client's credentials and all tokens made with
// them, as a site does that hears of the client's stop. It returns how many
// sets there were.
func (s *Site) Drop(clientID string) int {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	before := len(s.keys.sets)
	s.keys.sets = slices.DeleteFunc(s.keys.sets, func(c Credentials) bool { return c.ClientID == clientID })
	for _, tokens := range []map[string]*token{s.keys.requests, s.keys.access} {
		for key, t := range tokens {
			if t.client.ClientID == clientID {
				delete(tokens, key)
			}
		}
	}
	return before - len(s.keys.sets)
}

// token is a request token or an access token.
type token struct {
	key, secret string
	client      Credentials
	callback    string // of a request token
	verifier    string // of a request token that the user has authorized
}

// use is what may be done once: a nonce is refused when it comes again with
// its client, token and timestamp.
type use struct {
	client, token, nonce string
	timestamp            int64
}

// credentials are all keys of the site.
type credentials struct {
	now func() time.Time

	mu       sync.Mutex
	sets     []Credentials
	requests map[string]*token
	access   map[string]*token
	used     map[use]bool
}

// lookup returns the oldest set of a client.
func (k *credentials) lookup(clientID string) (Credentials, bool) {
	return k.find(func(c Credentials) bool { return c.ClientID == clientID })
}

// consumer returns the set with a consumer key.
func (k *credentials) consumer(key string) (Credentials, bool) {
	return k.find(func(c Credentials) bool { return c.Token == key })
}

func (k *credentials) find(fits func(Credentials) bool) (Credentials, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.sets, fits)
	if i < 0 {
		return Credentials{}, false
	}
	return k.sets[i], true
}

func (k *credentials) store(c Credentials) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sets = append(k.sets, c)
}

// claim reports whether a request comes for the first time, and forgets those
// whose timestamp is refused anyway.
func (k *credentials) claim(r *oauth1.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := use{r.ConsumerKey, r.Token, r.Nonce, r.Timestamp}
	if k.used[u] {
		return false
	}
	oldest := k.now().Add(-oauth1.Window).Unix()
	for old := range k.used {
		if old.timestamp < oldest {
			delete(k.used, old)
		}
	}
	if k.used == nil {
		k.used = map[use]bool{}
	}
	k.used[u] = true
	return true
}

// issue makes a request token.
func (k *credentials) issue(c Credentials, callback string) token {
	t := token{key: random(24), secret: random(48), client: c, callback: callback}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.requests == nil {
		k.requests, k.access = map[string]*token{}, map[string]*token{}
	}
	k.requests[t.key] = &t
	return t
}

// request looks up a request token.
func (k *credentials) request(key string) (token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return copied(k.requests[key])
}

// granted looks up an access token.
func (k *credentials) granted(key string) (token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return copied(k.access[key])
}

func copied(t *token) (token, bool) {
	if t == nil {
		return token{}, false
	}
	return *t, true
}

// authorize gives a request token its verifier.
func (k *credentials) authorize(key string) (token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.requests[key]
	if !ok {
		return token{}, false
	}
	t.verifier = random(24)
	return *t, true
}

// redeem turns an authorized request token into an access token, once.
func (k *credentials) redeem(key string) (token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.requests[key]
	if !ok {
		return token{}, false
	}
	delete(k.requests, key)
	granted := &token{key: random(24), secret: random(48), client: t.client}
	k.access[granted.key] = granted
	return *granted, true
}

// forget ends a request token that the user has refused.
func (k *credentials) forget(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.requests, key)
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// random makes n letters and digits, none likelier than another.
func random(n int) string {
	var text strings.Builder
	one := make([]byte, 1)
	for text.Len() < n {
		rand.Read(one)
		if i := int(one[0] & 63); i < len(alphanumeric) {
			text.WriteByte(alphanumeric[i])
		}
	}
	return text.String()
}
