// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
)

// instant is a site that answers at once and does nothing else.
func instant(b *testing.B) *httptest.Server {
	var site *httptest.Server
	out := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			w.Header().Set("Link", `</index>; rel="https://api.w.org/"`)
		case http.MethodGet:
			io.WriteString(w, `{"name":"Blog","home":"`+site.URL+`","authentication":{"broker":"`+site.URL+`/connect"}}`)
		default:
			r.ParseForm()
			resp, err := out.Post(r.Form.Get("broker")+"broker/confirm/", "application/x-www-form-urlencoded", strings.NewReader(confirmOf(r.Form)))
			if err != nil {
				b.Error(err)
				return
			}
			resp.Body.Close()
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	b.Cleanup(func() { site.Close(); out.CloseIdleConnections() })
	return site
}

// BenchmarkConnect is one connect over loopback, with the store in memory: the
// client's request, the connection request and the confirm inside of it. bare
// is what these three exchanges cost without a broker; own is the rest.
func BenchmarkConnect(b *testing.B) {
	w := newWorld(b)
	home := w.home()
	site := instant(b)
	form := url.Values{"server_url": {site.URL + "/"}}
	out := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer out.CloseIdleConnections()
	var bare, whole []time.Duration
	relay := relay(b, site.URL)
	for b.Loop() {
		r := home.signed(b.Context(), client, secret, form)
		began := time.Now()
		resp, err := out.Do(r)
		whole = append(whole, time.Since(began))
		check(b, err)
		if io.Copy(io.Discard, resp.Body); resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		resp.Body.Close()

		began = time.Now()
		resp, err = out.Post(relay.URL+"/broker/connect", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
		bare = append(bare, time.Since(began))
		check(b, err)
		resp.Body.Close()
	}
	report(b, "whole", whole)
	report(b, "bare", bare)
	b.ReportMetric(float64((median(whole) - median(bare)).Microseconds()), "own-p50-µs")
}

// BenchmarkDiscovery is a connect to a site that was never seen: HEAD and index
// on top.
func BenchmarkDiscovery(b *testing.B) {
	w := newWorld(b)
	home := w.home()
	site := instant(b)
	var whole []time.Duration
	for b.Loop() {
		home.restart()
		r := home.signed(b.Context(), client, secret, url.Values{"server_url": {site.URL + "/"}})
		began := time.Now()
		home.send(r).want(b, http.StatusOK, "")
		whole = append(whole, time.Since(began))
	}
	report(b, "whole", whole)
}

// relay makes the same exchanges as a broker and looks at nothing.
func relay(b *testing.B, site string) *httptest.Server {
	out := guard.New(guard.Config{AllowPrivate: true})
	var relay *httptest.Server
	relay = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/broker/connect") {
			resp, err := out.Post(site, "application/x-www-form-urlencoded", strings.NewReader("verifier=v&client_id=c&broker="+url.QueryEscape(relay.URL+"/")))
			if err != nil {
				b.Error(err)
				return
			}
			resp.Body.Close()
		}
	}))
	b.Cleanup(func() { relay.Close(); out.CloseIdleConnections() })
	return relay
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func report(b *testing.B, name string, all []time.Duration) {
	b.Helper()
	all = slices.Sorted(slices.Values(all))
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-µs")
}
