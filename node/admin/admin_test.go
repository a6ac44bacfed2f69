// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/admin"
)

// operator answers like a node, and remembers what it was asked.
type operator struct {
	admin.Operations // what a test does not need panics
	stop             admin.Stop
	fail             error
}

func (o *operator) ShowApp(_ context.Context, id admin.AppID) (admin.App, error) {
	return admin.App{ClientID: id.ClientID, Metadata: json.RawMessage(`{"a":1}`)}, o.fail
}

func (o *operator) StopApp(_ context.Context, stop admin.Stop, progress func(admin.StopProgress)) error {
	o.stop = stop
	if stop.Reason == "" {
		return errors.New("no reason")
	}
	progress(admin.StopProgress{Index: 7, Online: 2})
	if o.fail != nil {
		return o.fail
	}
	progress(admin.StopProgress{Index: 7, Online: 2, Acknowledged: []string{"a", "b"}, Done: true})
	return nil
}

// serve serves o on the socket of a new directory.
func serve(t *testing.T, o *operator) (dir string, client *admin.Client) {
	t.Helper()
	dir = t.TempDir()
	l, err := admin.Listen(filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: admin.Handler(o)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return dir, admin.Dial(dir)
}

func TestCall(t *testing.T) {
	o := &operator{}
	dir, client := serve(t, o)
	var app admin.App
	if err := client.Call(t.Context(), "/app/show", admin.AppID{ClientID: "x"}, &app); err != nil {
		t.Fatal(err)
	}
	if app.ClientID != "x" || string(app.Metadata) != `{"a":1}` {
		t.Fatalf("answer %+v", app)
	}
	info, err := os.Stat(filepath.Join(dir, admin.SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket is open to others: %v, %v", info.Mode(), err)
	}
	o.fail = errors.New("no such client: see comity app list")
	if err := client.Call(t.Context(), "/app/show", admin.AppID{}, &app); err == nil || err.Error() != o.fail.Error() {
		t.Fatalf("the error came as %v", err)
	}
	if err := client.Call(t.Context(), "/nothing", struct{}{}, &app); err == nil || !strings.Contains(err.Error(), "404") {
		t.Fatalf("an unknown operation gave %v", err)
	}
	if err := client.Call(t.Context(), "/app/show", json.RawMessage(`{"client_id":"a","client_id":"b"}`), &app); err == nil {
		t.Fatal("a duplicate member was taken")
	}
}

func TestStopStreamsItsProgress(t *testing.T) {
	o := &operator{}
	_, client := serve(t, o)
	var seen []admin.StopProgress
	stop := admin.Stop{ClientID: "x", Action: "revoke", Reason: "policy", Cutoff: -1, Note: "n"}
	if err := client.Stop(t.Context(), stop, func(p admin.StopProgress) { seen = append(seen, p) }); err != nil {
		t.Fatal(err)
	}
	if o.stop != stop || len(seen) != 2 || !seen[1].Done || len(seen[1].Acknowledged) != 2 {
		t.Fatalf("asked %+v, progress %+v", o.stop, seen)
	}
	none := func(admin.StopProgress) { t.Error("progress without a stop") }
	if err := client.Stop(t.Context(), admin.Stop{}, none); err == nil || err.Error() != "no reason" {
		t.Fatalf("a refused stop gave %v", err)
	}
	o.fail = errors.New("the disk is full")
	if err := client.Stop(t.Context(), stop, func(admin.StopProgress) {}); err == nil || err.Error() != "the disk is full" {
		t.Fatalf("a stop that failed half way gave %v", err)
	}
}

func TestNoNode(t *testing.T) {
	err := admin.Dial(t.TempDir()).Call(t.Context(), "/status", struct{}{}, &admin.Status{})
	if err == nil || !strings.Contains(err.Error(), "comity run --data") {
		t.Fatalf("without a node: %v", err)
	}
}

// A socket that a killed process left is no obstacle.
func TestListenReplacesAnOldSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), admin.SocketName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
