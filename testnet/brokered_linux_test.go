// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"github.com/comity-network/comity/testnet/oldsite"
	"github.com/comity-network/comity/testnet/process"
)

// TestBrokeredCrash kills a broker that holds a site's credentials, in the way
// that leaves the most behind: a trace of everything that runs, and the whole
// memory in a file wherever the system allows that.
func TestBrokeredCrash(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, process.Config{
		Wrap: []string{"/bin/sh", "-c", `ulimit -c unlimited && cd "$TMPDIR" && exec "$@"`, "sh"},
		Env:  []string{"GOTRACEBACK=crash", "TMPDIR=" + t.TempDir()},
	})
	client := w.registerConsumer("Blogger")
	s := w.oldSite(oldsite.Config{Behaviour: oldsite.Behaviour{StoreAfter: time.Minute}}, w.broker)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		form := url.Values{"server_url": {s.URL()}}
		if _, err := oauth1.NewConfig(client.id, client.secret).Client(ctx, oauth1.NewToken("", "")).PostForm(w.broker.Issuer+"/broker/connect", form); err == nil {
			t.Error("the broker answered")
		}
	}()
	confirm, err := s.Wait(ctx, oldsite.Ended(oldsite.Confirm))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := url.ParseQuery(confirm.Body)
	if err != nil || confirm.Status != 200 {
		t.Fatalf("the broker answered %d to the confirm; %v", confirm.Status, err)
	}
	for _, name := range []string{"verifier", "client_token", "client_secret"} {
		w.secrets.Add(name+" of a site", sent.Get(name))
	}
	if err := w.broker.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-w.broker.Exited()
	<-ended
	if !strings.Contains(w.broker.Output(), "goroutine ") {
		t.Error("it ended without a trace: the test proves nothing")
	}
	cores, err := filepath.Glob(filepath.Join(strings.TrimPrefix(w.broker.Env[1], "TMPDIR="), "*core*"))
	if err != nil || len(cores) > 0 {
		t.Errorf("its memory is in %v, %v", cores, err)
	}
	w.searchSecrets()
	if len(places(w.written(), sent.Get("client_id"))) == 0 {
		t.Error("the search finds nothing")
	}
}
