// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/comity-network/comity/testnet/process"
)

// slowWorld is a broker with TLS, whose clients misbehave.
func slowWorld(t *testing.T) (*world, string, *tls.Config) {
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, pool := certificate(t, t.TempDir(), "127.0.0.1")
	w := newWorldWith(t, process.Config{
		Issuer: "https://" + address, Env: []string{"SSL_CERT_FILE=" + certFile},
		Args: []string{"--listen", address, "--tls-cert", certFile, "--tls-key", keyFile},
	})
	return w, address, &tls.Config{RootCAs: pool}
}

// TestFault18Slow: 400 connections that say nothing, or trickle a header or a
// body, are cut after seconds, and keep nobody else waiting.
func TestFault18Slow(t *testing.T) {
	t.Parallel()
	w, address, config := slowWorld(t)
	token, err := url.Parse(w.broker.Issuer + "/oauth/token")
	if err != nil {
		t.Fatal(err)
	}
	const head = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	kinds := []struct{ begin, drop string }{
		{"", ""},                                    // connects, and says nothing
		{"GET / HTTP/1.1\r\nHost: x\r\n", "X"},      // a header that never ends
		{head + "Content-Length: 100\r\n\r\n", "a"}, // a body that comes byte by byte
		{head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"},
	}
	var cut sync.WaitGroup
	for n := range 400 {
		kind := kinds[n%len(kinds)]
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		cut.Go(func() {
			began := time.Now()
			trickle(conn, kind.begin, kind.drop)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%.20q was cut after %v", kind.begin, took)
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for range 20 {
		res, err := client.PostForm(token.String(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"nobody"}})
		if err != nil {
			t.Fatalf("beside them: %v", err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("beside them: %d", res.StatusCode)
		}
	}
	cut.Wait()
}

// trickle sends a beginning and then a drop four times a second, until the
// other side has enough of it.
func trickle(conn net.Conn, begin, drop string) {
	io.WriteString(conn, begin)
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, conn); close(ended) }()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		select {
		case <-ended:
			return
		case <-limit:
			return
		case <-tick.C:
			if _, err := io.WriteString(conn, drop); err != nil {
				return
			}
		}
	}
}

// TestFault18Headers: headers without end are refused before they take memory.
func TestFault18Headers(t *testing.T) {
	t.Parallel()
	w, address, config := slowWorld(t)
	before, err := w.broker.RSS()
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"one long line": "X: " + strings.Repeat("x", 1<<20) + "\r\n",
		"many lines":    strings.Repeat("X: y\r\n", 1<<18),
		"a long path":   "",
	} {
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		path := "/"
		if line == "" {
			path += strings.Repeat("p", 1<<20)
		}
		sent := make(chan struct{})
		go func() { // the server stops reading, so this ends with an error
			defer close(sent)
			io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+line+"\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		conn.Close()
		<-sent
	}
	after, err := w.broker.RSS()
	if err != nil {
		t.Fatal(err)
	}
	if after > before+32<<20 {
		t.Errorf("memory went from %d to %d MB", before>>20, after>>20)
	}
}

// TestFault18HTTP2: streams that are reset as soon as they are begun, and header
// blocks without end, cost their own connection and nobody else.
func TestFault18HTTP2(t *testing.T) {
	t.Parallel()
	w, address, config := slowWorld(t)
	abuse := func(send func(*http2.Framer, uint32) error) error {
		h2 := config.Clone()
		h2.NextProtos = []string{"h2"}
		conn, err := tls.Dial("tcp", address, h2)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		go io.Copy(io.Discard, conn)
		io.WriteString(conn, http2.ClientPreface)
		framer := http2.NewFramer(conn, nil)
		if err := framer.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		for n := range uint32(100_000) {
			if err := send(framer, 2*n+1); err != nil {
				return err
			}
		}
		return nil
	}
	block := headerBlock(address)
	var all sync.WaitGroup
	all.Go(func() {
		abuse(func(f *http2.Framer, id uint32) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}); err != nil {
				return err
			}
			return f.WriteRSTStream(id, http2.ErrCodeCancel)
		})
	})
	all.Go(func() {
		err := abuse(func(f *http2.Framer, id uint32) error {
			if id == 1 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			}
			return f.WriteContinuation(1, false, filler)
		})
		if err == nil {
			t.Error("a header block of 100,000 frames was taken")
		}
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for range 50 {
		res, err := client.Get(w.broker.Issuer + "/.well-known/oauth-authorization-server")
		if err != nil {
			t.Fatalf("beside them: %v", err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("beside them: %d", res.StatusCode)
		}
	}
	all.Wait()
	if memory, err := w.broker.RSS(); err != nil || memory > 256<<20 {
		t.Errorf("the broker has taken %d MB, %v", memory>>20, err)
	}
}

func headerBlock(address string) []byte {
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: address}, {Name: ":path", Value: "/healthz"},
	} {
		encoder.WriteField(field)
	}
	return []byte(block.String())
}

// filler is a header field that is not indexed: 1 KB in one frame.
var filler = func() []byte {
	var block strings.Builder
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 1024), Sensitive: true})
	return []byte(block.String())
}()
