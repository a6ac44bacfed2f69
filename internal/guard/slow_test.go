// SPDX-License-Identifier: Apache-2.0

package guard_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
)

// limit is the whole time of an exchange in these tests.
const limit = 150 * time.Millisecond

// peer is a site that speaks whatever bytes it likes.
type peer struct {
	url      string
	accepted chan struct{} // one for each connection
}

// newPeer listens and hands every connection to speak, which ends when the
// connection is closed from the other side.
func newPeer(t testing.TB, speak func(c net.Conn)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{url: "http://" + l.Addr().String(), accepted: make(chan struct{}, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted <- struct{}{}
			wg.Go(func() {
				defer c.Close()
				speak(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return p
}

// silent reads and says nothing, until the other side gives up.
func silent(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// hear reads one request.
func hear(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		r.Body.Close()
	}
}

// trickle says head at once and then piece after piece.
func trickle(head, piece string, every time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		hear(c)
		fmt.Fprint(c, head)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for range tick.C {
			if _, err := fmt.Fprint(c, piece); err != nil {
				return
			}
		}
	}
}

// endless says head and then pieces as fast as they are taken.
func endless(head, piece string) func(net.Conn) {
	return func(c net.Conn) {
		hear(c)
		fmt.Fprint(c, head)
		for {
			if _, err := fmt.Fprint(c, piece); err != nil {
				return
			}
		}
	}
}

// fault 36: whatever a site does, the exchange ends in time and in bounds.
func TestFault36SlowSites(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name  string
		speak func(net.Conn)
		want  error // nil: any
	}{
		{"accepts and is silent", silent, nil},
		{"hangs up", func(c net.Conn) {}, nil},
		{"trickles the header", trickle(ok, "X: y\r\n", 10*time.Millisecond), nil},
		{"trickles the body", trickle(ok+"Content-Length: 4000\r\n\r\n", "x", 10*time.Millisecond), nil},
		{"endless body", endless(ok+"\r\n", strings.Repeat("x", 1000)), guard.ErrTooLong},
		{"endless informational answers", endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), nil},
		{"header of 1 MB", endless(ok, "X: "+strings.Repeat("y", 1000)+"\r\n"), nil},
		{"header line of 1 MB", endless(ok+"X: ", strings.Repeat("y", 1000)), nil},
		{"header of 1 MB, and then all is well", func(c net.Conn) {
			hear(c)
			fmt.Fprint(c, ok+"Content-Length: 2\r\nX: "+strings.Repeat("y", 1<<20)+"\r\n\r\n{}")
		}, nil},
		{"not HTTP", endless("", "SSH-2.0-server\r\n"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, tt.speak)
			client := guard.New(guard.Config{AllowPrivate: true, Timeout: limit})
			defer client.CloseIdleConnections()
			ended := make(chan error, 1)
			go func() {
				_, _, err := guard.Fetch(t.Context(), client, p.url, 4096)
				ended <- err
			}()
			select {
			case err := <-ended:
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("error is %v", err)
				}
			case <-time.After(20 * limit):
				t.Fatal("not cut")
			}
		})
	}
}

// fault 36: a site that never accepts.
func TestFault36NeverAccepts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := guard.New(guard.Config{AllowPrivate: true, Timeout: limit})
	defer client.CloseIdleConnections()
	if _, _, err := guard.Fetch(t.Context(), client, "http://"+l.Addr().String(), 10); err == nil {
		t.Error("no error")
	}
}

// fault 36: a small compressed body stays small.
func TestFault36GzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 1<<20))
	z.Close()
	asked := make(chan string, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	}))
	defer site.Close()
	client := guard.New(guard.Config{AllowPrivate: true})
	defer client.CloseIdleConnections()
	body, _, err := guard.Fetch(t.Context(), client, site.URL, 4096)
	if err != nil || !bytes.Equal(body, bomb.Bytes()) {
		t.Errorf("got %d bytes, error %v", len(body), err)
	}
	if a := <-asked; a != "" {
		t.Errorf("asked for %q", a)
	}
}

// fault 36: 200 such sites at once do not disturb a good one.
func TestFault36ManySlowSites(t *testing.T) {
	client := guard.New(guard.Config{AllowPrivate: true})
	defer client.CloseIdleConnections()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{}`)) }))
	defer good.Close()

	release := make(chan struct{})
	var wg sync.WaitGroup
	for range 200 {
		p := newPeer(t, func(c net.Conn) {
			<-release
		})
		wg.Go(func() {
			if _, _, err := guard.Fetch(t.Context(), client, p.url, 10); err == nil {
				t.Error("a silent site gave an answer")
			}
		})
		<-p.accepted
	}
	for range 20 {
		if _, _, err := guard.Fetch(t.Context(), client, good.URL, 10); err != nil {
			t.Errorf("the good site suffers: %v", err)
		}
	}
	close(release)
	wg.Wait()
}

func TestReadLimited(t *testing.T) {
	for _, tt := range []struct {
		body string
		ok   bool
	}{{"", true}, {"1234", true}, {"12345", false}} {
		data, err := guard.ReadLimited(strings.NewReader(tt.body), 4)
		if tt.ok && (err != nil || string(data) != tt.body) || !tt.ok && !errors.Is(err, guard.ErrTooLong) {
			t.Errorf("%q: %q, %v", tt.body, data, err)
		}
	}
}

// Any answer but 200 is an error, and a 3xx without a place to go is no loop.
func TestFetchStatus(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/204": 204, "/302": 302, "/304": 304, "/404": 404, "/500": 500}[r.URL.Path])
	}))
	defer site.Close()
	client := guard.New(guard.Config{AllowPrivate: true})
	defer client.CloseIdleConnections()
	for _, path := range []string{"/204", "/302", "/304", "/404", "/500"} {
		if _, _, err := guard.Fetch(t.Context(), client, site.URL+path, 10); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}
