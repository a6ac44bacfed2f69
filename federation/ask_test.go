// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// A member answers what another one asks, and knows which member that is.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		a, b := c.nodes[0], c.nodes[1]
		if _, err := a.Ask(t.Context(), b.issuer, []byte("anybody?")); !errors.Is(err, federation.ErrUnreachable) {
			t.Errorf("a member that answers nothing: %v", err)
		}
		b.HandleAsked(func(_ context.Context, speaks func(string) bool, request []byte) ([]byte, error) {
			if string(request) == "fail" {
				return nil, errors.New("no")
			}
			return fmt.Appendf(nil, "%s %v %v", request, speaks(a.issuer), speaks(c.nodes[2].issuer)), nil
		})
		for range 100 { // more than are answered at a time
			answer, err := a.Ask(t.Context(), b.issuer, []byte("who?"))
			if err != nil || string(answer) != "who? true false" {
				t.Fatalf("%q, %v", answer, err)
			}
		}
		for _, issuer := range []string{"https://nobody.example", a.issuer} {
			if _, err := a.Ask(t.Context(), issuer, nil); !errors.Is(err, federation.ErrUnreachable) {
				t.Errorf("%s: %v", issuer, err)
			}
		}
		if _, err := a.Ask(t.Context(), b.issuer, []byte("fail")); !errors.Is(err, federation.ErrUnreachable) {
			t.Errorf("a request that failed: %v", err)
		}
		if !meshed(c.nodes) {
			t.Error("who asks is not connected any more")
		}
		b.stop()
		c.until(time.Second, "it is offline", func() bool { return len(a.Online()) == 1 })
		if _, err := a.Ask(t.Context(), b.issuer, nil); !errors.Is(err, federation.ErrUnreachable) {
			t.Errorf("a member that is away: %v", err)
		}
	})
}

// Who asked and went away is not worked for any more; and nobody waits for ever
// for a member that says nothing.
func TestAskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 2)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		a, b := c.nodes[0], c.nodes[1]
		ended := make(chan time.Duration, 1)
		b.HandleAsked(func(ctx context.Context, _ func(string) bool, _ []byte) ([]byte, error) {
			began := time.Now()
			<-ctx.Done()
			ended <- time.Since(began)
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := a.Ask(ctx, b.issuer, nil); !errors.Is(err, federation.ErrUnreachable) {
			t.Errorf("nobody waited: %v", err)
		}
		if took := <-ended; took > 2100*time.Millisecond {
			t.Errorf("it was worked on for %v", took)
		}
		began := time.Now()
		if _, err := a.Ask(t.Context(), b.issuer, nil); err == nil || time.Since(began) > 26*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-ended
	})
}

// Who asks too much at a time, or too long, or is no member, is not heard.
func TestAskBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 2, 1)
		victim, evil := c.nodes[0], intruders[0]
		evil.behave(c.nodes[:2], victim.Vector)
		c.until(3*time.Second, "all are connected", func() bool { return len(victim.Online()) == 2 })
		busy, gate := make(chan bool, 1000), make(chan struct{})
		victim.HandleAsked(func(ctx context.Context, _ func(string) bool, _ []byte) ([]byte, error) {
			busy <- true
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return []byte("done"), ctx.Err()
		})
		var open []network.Stream
		for range 40 {
			open = append(open, evil.open(victim, federation.ConnectProtocol, "x"))
		}
		time.Sleep(time.Second)
		if n := len(busy); n != federation.MaxAskedPeer {
			t.Errorf("%d requests of one member are worked on", n)
		}
		close(gate)
		for _, s := range open {
			_ = s.Reset()
		}
		if answer, err := c.nodes[1].Ask(t.Context(), victim.issuer, []byte("x")); err != nil || string(answer) != "done" {
			t.Errorf("another member gets %q, %v", answer, err)
		}
		long := evil.open(victim, federation.ConnectProtocol, string(bytes.Repeat([]byte("x"), 9<<10)))
		if n, err := ended(long); err == nil || n > 0 {
			t.Errorf("a long request got %d bytes", n)
		}
	})
}

// An answer that is too long is none.
func TestAskLongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 2, 1)
		asker, evil := c.nodes[0], intruders[0]
		evil.behave(c.nodes[:2], asker.Vector)
		c.until(3*time.Second, "all are connected", func() bool { return len(asker.Online()) == 2 })
		evil.SetStreamHandler(federation.ConnectProtocol, func(s network.Stream) {
			_, _ = io.ReadFull(s, make([]byte, 5))
			_ = federation.WriteFrame(s, make([]byte, 65<<10))
		})
		if _, err := asker.Ask(t.Context(), evil.node.issuer, []byte("x")); !errors.Is(err, federation.ErrUnreachable) {
			t.Errorf("it was taken: %v", err)
		}
	})
}

// A stranger is not answered, whatever it can do with a connection.
func TestAskStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 2)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		victim := c.nodes[0]
		victim.HandleAsked(func(context.Context, func(string) bool, []byte) ([]byte, error) {
			t.Error("a stranger is worked for")
			return nil, registry.ErrForm
		})
		n := c.add("https://stranger.example")
		n.openReplica()
		s := newIntruder(t, n)
		if err := s.connect(victim); err != nil {
			t.Fatal(err)
		}
		id, _ := peer.Decode(victim.peerID)
		stream, err := s.NewStream(s.ctx, id, federation.ConnectProtocol)
		if err != nil {
			return
		}
		_ = write(stream, "x")
		if n, err := ended(stream); err == nil || n > 0 {
			t.Errorf("a stranger got %d bytes", n)
		}
	})
}
