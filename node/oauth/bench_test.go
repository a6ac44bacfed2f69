// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// measure runs f b.N times and reports the median beside the mean. The site is
// on loopback and writes nothing: what is measured is the broker, with two
// durable transactions, and two exchanges over HTTP.
func measure(b *testing.B, f func()) {
	b.Helper()
	times := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		f()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkCodeToToken(b *testing.B) {
	w := newWorld(b)
	a := w.public()
	measure(b, func() {
		code, v := a.consent(w.site)
		if answer := a.redeem(code, v); answer.Status != http.StatusOK {
			b.Fatal(answer.Body)
		}
	})
}

func BenchmarkRefresh(b *testing.B) {
	w := newWorld(b)
	a := w.public()
	_, refresh := tokens(b, a.login(w.site))
	measure(b, func() {
		answer := a.refresh(refresh)
		if refresh = answer.text("refresh_token"); refresh == "" {
			b.Fatal(answer.Body)
		}
	})
}

func BenchmarkIntrospection(b *testing.B) {
	w := newWorld(b)
	access, _ := tokens(b, w.public().login(w.site))
	measure(b, func() {
		if !w.active(w.site, access) {
			b.Fatal("not active")
		}
	})
}

// Fault 15 in figures: an unknown client and a wrong secret cost the same.
func BenchmarkFault15(b *testing.B) {
	w := newWorld(b)
	known := w.ledger.register(w.issuer, metadata("client_secret_basic"))
	for name, id := range map[string]string{"wrong": known, "unknown": known[:len(known)-1] + "a"} {
		b.Run(name, func(b *testing.B) {
			measure(b, func() {
				w.clock.advance(time.Minute) // the limit on failures is not measured
				w.post("/oauth/token", codeForm("x", "y"), basic(id, "wrong"))
			})
		})
	}
}
