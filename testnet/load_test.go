// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

// load is a handful of apps, users and operators who all act at once.
type load struct {
	*world
	s      *site.Site
	book   *ledger
	target *app.Target
	apps   []*app.App

	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
	done   atomic.Int64
	more   chan struct{} // of capacity 1

	mu   sync.Mutex
	held []held
}

// held is a token that an app was given.
type held struct {
	a      *app.App
	tokens *app.Tokens
}

// newLoad registers the apps.
func newLoad(w *world, s *site.Site, book *ledger) *load {
	l := &load{world: w, s: s, book: book, more: make(chan struct{}, 1)}
	for i := range 3 {
		l.apps = append(l.apps, book.register(fmt.Sprintf("Load %d", i)))
	}
	l.target = w.discover(l.apps[0], s.API)
	l.ctx, l.cancel = context.WithCancel(w.ctx)
	return l
}

func (l *load) start() {
	for _, a := range l.apps[:2] {
		l.wait.Go(func() { l.repeat(func() error { return l.loginAndRefresh(a) }) })
	}
	l.wait.Go(func() {
		l.repeat(func() error {
			a, err := l.book.tryRegister("Registered under load")
			if err != nil {
				return err
			}
			return l.book.tryRevoke(a)
		})
	})
	l.wait.Go(func() {
		l.repeat(func() error {
			res, err := http.Get(l.broker.Issuer + "/federation/status")
			if err == nil {
				res.Body.Close()
			}
			return err
		})
	})
}

// repeat acts until it cannot any more: the broker is dead.
func (l *load) repeat(act func() error) {
	for l.ctx.Err() == nil && act() == nil {
		l.done.Add(1)
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
}

// loginAndRefresh ends with an error when the broker does not answer. A
// refusal to serve for the moment is none.
func (l *load) loginAndRefresh(a *app.App) error {
	request := a.NewRequest(l.target, site.ReadNotes, false)
	code, err := l.tryAuthorize(a, request)
	if err != nil {
		return err
	}
	tokens, err := a.Redeem(l.ctx, l.target, request, code)
	if err != nil {
		return err
	}
	l.hold(a, tokens)
	if tokens, err = a.Refresh(l.ctx, l.target, tokens.RefreshToken); err != nil {
		return err
	}
	l.hold(a, tokens)
	return nil
}

func (l *load) hold(a *app.App, tokens *app.Tokens) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, held{a, tokens})
}

// await waits until so many operations are done.
func (l *load) await(operations int) {
	for l.done.Load() < int64(operations) {
		select {
		case <-l.more:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *load) stop() {
	l.cancel()
	l.wait.Wait()
}

// checkTokens wants every token that an app was given to work.
func (l *load) checkTokens() {
	l.Helper()
	for _, h := range l.held {
		l.call(h.a, l.target, h.tokens, http.StatusOK)
	}
}
