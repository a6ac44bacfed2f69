// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// report adds the median of times to the benchmark's figures.
func report(b *testing.B, times []time.Duration, name string) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, name)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, name+"(p99)")
}

// BenchmarkReady: from the start of the process to its ready line, on a fresh
// directory and on one that was used.
func BenchmarkReady(b *testing.B) {
	w := newWorld(b)
	var first, again []time.Duration
	for i := 0; b.Loop(); i++ {
		n, err := process.Start(w.ctx, process.Config{Binary: binary, Dir: filepath.Join(b.TempDir(), "broker")})
		if err != nil {
			b.Fatal(err)
		}
		first = append(first, n.Ready.Took)
		n.Kill()
		if err := n.Restart(w.ctx); err != nil {
			b.Fatal(err)
		}
		again = append(again, n.Ready.Took)
		n.Kill()
	}
	report(b, first, "ms-first-start")
	report(b, again, "ms-restart")
}

// BenchmarkMemory: VmRSS when ready, and 60 s later.
func BenchmarkMemory(b *testing.B) {
	w := newWorld(b)
	for once := true; b.Loop(); once = false {
		if !once {
			continue // a minute is enough, however long the others are measured
		}
		megabytes := func() float64 {
			rss, err := w.broker.RSS()
			if err != nil {
				b.Fatal(err)
			}
			return float64(rss) / (1 << 20)
		}
		b.ReportMetric(megabytes(), "MB-ready")
		<-time.After(time.Minute)
		b.ReportMetric(megabytes(), "MB-60s")
	}
}

// BenchmarkCodeToToken: a code is redeemed at one connection, through the
// broker's mint and the site's acknowledgement, in three processes' worth of
// parts with real disks. The login before it is not counted.
func BenchmarkCodeToToken(b *testing.B) {
	w := newWorld(b)
	s := w.site("notebook", nil)
	for _, method := range []string{"none", "private_key_jwt"} {
		b.Run(method, func(b *testing.B) {
			w := *w
			w.TB = b
			a := w.register("Bench "+method[:4], method)
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			a.HTTP = &http.Client{Transport: transport}
			target := w.discover(a, s.API)
			var times []time.Duration
			for b.Loop() {
				b.StopTimer()
				request := a.NewRequest(target, site.ReadNotes, false)
				code := w.authorize(a, target, request)
				b.StartTimer()
				began := time.Now()
				if _, err := a.Redeem(w.ctx, target, request, code); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(began))
			}
			report(b, times, "ms")
		})
	}
}

// BenchmarkRevocation: from the start of `comity app revoke` to the site's
// refusal, with the start of the command's process.
func BenchmarkRevocation(b *testing.B) {
	w := newWorld(b)
	s := w.site("notebook", nil)
	var times []time.Duration
	for b.Loop() {
		b.StopTimer()
		a := w.register("Bench", "none")
		target, tokens := w.login(a, s.API)
		b.StartTimer()
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.broker.Run(w.ctx, "app", "revoke", a.ClientID, "--yes", "--reason", "policy")
		}()
		var answer *app.Answer
		for answer == nil || answer.Status == http.StatusOK {
			var err error
			if answer, err = a.Call(w.ctx, target, tokens); err != nil {
				b.Fatal(err)
			}
		}
		times = append(times, time.Since(began))
		<-done
	}
	report(b, times, "ms")
}
