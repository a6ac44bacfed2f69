// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/registry"
)

// Each confirm is checked in one place. The exchange that a wrong one with the
// right verifier was for is burnt, and the client hears of it at once.
func TestConfirmForms(t *testing.T) {
	right := func(f url.Values) string { return confirmOf(f) }
	edit := func(old, new string) func(url.Values) string {
		return func(f url.Values) string { return strings.Replace(right(f), old, new, 1) }
	}
	with := func(more string) func(url.Values) string {
		return func(f url.Values) string { return right(f) + more }
	}
	for _, test := range []struct {
		name   string
		body   func(form url.Values) string
		status int
		code   string
		burnt  bool // the exchange; otherwise it still waits
	}{
		{"as the plugin sends it", right, 200, "", false},
		{"an unknown member", with("&colour=green"), 200, "", false},
		{"=, / and ; in a secret", edit("=SECRET", "=a=b/c;d"), 200, "", false},
		{"wrong verifier", edit("verifier=", "verifier=0"), 400, "ba.invalid_verifier", false},
		{"verifier in upper case", func(f url.Values) string {
			return strings.ReplaceAll(right(f), f.Get("verifier"), strings.ToUpper(f.Get("verifier")))
		}, 400, "ba.invalid_verifier", false},
		{"other client", edit("client_id=", "client_id=x"), 400, "ba.invalid_client_id", true},
		{"no client", edit("client_id=", "x="), 400, "comity.invalid_request", true},
		{"no verifier", edit("verifier=", "x="), 400, "comity.invalid_request", false},
		{"no token", edit("client_token=TOKEN", ""), 400, "comity.invalid_request", true},
		{"empty token", edit("=TOKEN", "="), 400, "comity.invalid_request", true},
		{"empty secret", edit("=SECRET", "="), 400, "comity.invalid_request", true},
		{"token twice", with("&client_token=OTHER"), 400, "comity.invalid_request", true},
		{"same token twice", with("&client_token=TOKEN"), 400, "comity.invalid_request", true},
		{"client twice", with("&client_id=other"), 400, "comity.invalid_request", true},
		{"unknown member twice", with("&a=1&a=2"), 400, "comity.invalid_request", true},
		{"verifier twice", with("&verifier=other"), 400, "comity.invalid_request", false},
		{"verifier twice, the other first", func(f url.Values) string { return "verifier=other&" + right(f) }, 400, "comity.invalid_request", false},
		{"long secret", edit("=SECRET", "="+strings.Repeat("x", 256)), 400, "comity.invalid_request", true},
		{"longest secret", edit("=SECRET", "="+strings.Repeat("x", 255)), 200, "", false},
		{"space", edit("=SECRET", "=a b"), 400, "comity.invalid_request", true},
		{"line break", edit("=SECRET", "=a\r\nb"), 400, "comity.invalid_request", true},
		{"NUL", edit("=SECRET", "=a\x00b"), 400, "comity.invalid_request", true},
		{"umlaut", edit("=SECRET", "=ünï"), 400, "comity.invalid_request", true},
		{"not UTF-8", edit("=SECRET", "=\xff"), 400, "comity.invalid_request", false},
		{"encoded", edit("=SECRET", "=a%2Bb"), 400, "comity.invalid_request", true},
		{"plus", edit("=SECRET", "=a+b"), 400, "comity.invalid_request", true},
		{"too long", with("&x=" + strings.Repeat("x", 4<<10)), 413, "comity.invalid_request", false},
		{"JSON", func(url.Values) string { return `{"verifier":"x"}` }, 400, "comity.invalid_request", false},
		{"empty", func(url.Values) string { return "" }, 400, "comity.invalid_request", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.post = func(_ *http.Request, f url.Values) (int, string) {
					a := s.stageConfirm(test.body(f))
					if a.status != test.status || a.text("code") != test.code {
						t.Errorf("answer is %d %s, expected %d %s", a.status, a.body, test.status, test.code)
					}
					again := s.stageConfirm(confirmOf(f)).status
					if waits := test.status != 200 && !test.burnt; (again == 200) != waits {
						t.Errorf("the right confirm afterwards got %d", again)
					}
					return http.StatusAccepted, ""
				}
				a := s.stageConnect(t.Context())
				if test.burnt {
					a.want(t, http.StatusBadGateway, "comity.site_unusable")
				} else {
					a.want(t, http.StatusOK, "")
				}
				if !s.Idle() {
					t.Error("something is left behind")
				}
			})
		})
	}
}

func TestConfirmMethodsAndTypes(t *testing.T) {
	s := newStage(t)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		r := httptest.NewRequest(method, s.issuer+"/broker/confirm", nil)
		if a := s.serve(r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	r := s.confirmRequest("verifier=x")
	r.Header.Set("Content-Type", "application/json")
	if a := s.serve(r); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %d", a.status)
	}
	r = s.confirmRequest("")
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("gone")))
	if a := s.serve(r); a.status != http.StatusBadRequest || a.text("code") != "comity.invalid_request" {
		t.Errorf("a body that ends early: %d %s", a.status, a.body)
	}
}

// Of many confirms at the same time one gets 200.
func TestConfirmOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var mu sync.Mutex
		statuses := map[int]int{}
		s.post = func(_ *http.Request, f url.Values) (int, string) {
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					a := s.stageConfirm(confirmOf(f))
					mu.Lock()
					statuses[a.status]++
					mu.Unlock()
				})
			}
			all.Wait()
			return http.StatusAccepted, ""
		}
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
		if statuses[200] != 1 {
			t.Errorf("statuses are %v, expected one 200", statuses)
		}
	})
}

// A verifier is good while the request of its client is open.
func TestConfirmAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(s *stage) string{
		"client gone": func(s *stage) string {
			ctx, leave := context.WithCancel(s.t.Context())
			var body string
			s.post = func(r *http.Request, f url.Values) (int, string) {
				body = confirmOf(f)
				leave()
				<-r.Context().Done()
				return 202, ""
			}
			s.stageConnect(ctx)
			return body
		},
		"timed out": func(s *stage) string {
			var body string
			s.post = func(r *http.Request, f url.Values) (int, string) { body = confirmOf(f); return 202, "" }
			s.stageConnect(s.t.Context()).want(s.t, http.StatusConflict, "ba.timed_out")
			return body
		},
		"refused": func(s *stage) string {
			var body string
			s.post = func(r *http.Request, f url.Values) (int, string) { body = confirmOf(f); return 500, "" }
			s.stageConnect(s.t.Context()).want(s.t, http.StatusBadGateway, "comity.site_unusable")
			return body
		},
		"done": func(s *stage) string {
			var body string
			s.post = func(r *http.Request, f url.Values) (int, string) { body = confirmOf(f); return s.confirms(r, f) }
			s.stageConnect(s.t.Context()).want(s.t, http.StatusOK, "")
			return body
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				body := end(s)
				if a := s.stageConfirm(body); a.status != http.StatusBadRequest || a.text("code") != "ba.invalid_verifier" {
					t.Errorf("%d %s", a.status, a.body)
				}
				synctest.Wait()
				if !s.Idle() {
					t.Error("something is left behind")
				}
			})
		})
	}
}

// A client that goes away while its site confirms: whoever is first, nothing is
// left behind, and no confirm that comes after gets 200.
func TestConfirmAndCancel(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			ctx, leave := context.WithCancel(t.Context())
			var first, after answer
			s.post = func(_ *http.Request, f url.Values) (int, string) {
				go leave()
				first = s.stageConfirm(confirmOf(f))
				<-ctx.Done()
				after = s.stageConfirm(confirmOf(f))
				return 202, ""
			}
			s.stageConnect(ctx)
			synctest.Wait()
			if first.status != 200 && first.text("code") != "ba.invalid_verifier" {
				t.Errorf("%d %s", first.status, first.body)
			}
			if after.status != 400 {
				t.Errorf("after the end: %d", after.status)
			}
			if !s.Idle() {
				t.Error("something is left behind")
			}
		})
	}
}

// A confirm at the moment when the connection request times out: whoever is
// first, the client has credentials only if the site had a 200.
func TestConfirmAndTimeout(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			confirmed := make(chan answer, 1)
			s.post = func(_ *http.Request, f url.Values) (int, string) {
				time.Sleep(20 * time.Second)
				confirmed <- s.stageConfirm(confirmOf(f))
				return 202, ""
			}
			a := s.stageConnect(t.Context())
			c := <-confirmed
			switch {
			case a.status == http.StatusOK && c.status != http.StatusOK:
				t.Errorf("released %s after a confirm with %d", a.body, c.status)
			case a.status != http.StatusOK:
				a.want(t, http.StatusConflict, "ba.timed_out")
			}
			if c.status != http.StatusOK && c.text("code") != "ba.invalid_verifier" {
				t.Errorf("confirm: %d %s", c.status, c.body)
			}
			synctest.Wait()
			if !s.Idle() {
				t.Error("something is left behind")
			}
		})
	}
}

// deaf is a connection that the site has closed.
type deaf struct{ *httptest.ResponseRecorder }

func (deaf) Write([]byte) (int, error) { return 0, errors.New("connection reset") }

// deafLater takes the bytes and loses them when they are to be sent.
type deafLater struct{ *httptest.ResponseRecorder }

func (deafLater) FlushError() error { return errors.New("connection reset") }

// A confirm whose answer could not be sent does not count: the site has not
// stored anything.
func TestConfirmThatIsNotRead(t *testing.T) {
	for name, writer := range map[string]func() http.ResponseWriter{
		"write": func() http.ResponseWriter { return deaf{httptest.NewRecorder()} },
		"flush": func() http.ResponseWriter { return deafLater{httptest.NewRecorder()} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.post = func(_ *http.Request, f url.Values) (int, string) {
					s.Handler().ServeHTTP(writer(), s.confirmRequest(confirmOf(f)))
					return 202, ""
				}
				s.stageConnect(t.Context()).want(t, http.StatusBadGateway, "comity.site_unusable")
			})
		})
	}
}

// slowBody is a body that comes late.
type slowBody struct {
	io.Reader
	after time.Duration
}

func (b slowBody) Read(p []byte) (int, error) { time.Sleep(b.after); return b.Reader.Read(p) }
func (slowBody) Close() error                 { return nil }

// A confirm that takes longer than a second does not count, wherever the time
// went.
func TestConfirmThatIsLate(t *testing.T) {
	for name, test := range map[string]struct {
		slow func(s *stage, r *http.Request) http.ResponseWriter
		ok   bool
	}{
		"body after 0.9 s": {func(s *stage, r *http.Request) http.ResponseWriter {
			r.Body = slowBody{r.Body, 450 * time.Millisecond} // twice: bytes, and the end
			return httptest.NewRecorder()
		}, true},
		"body after 1.1 s": {func(s *stage, r *http.Request) http.ResponseWriter {
			r.Body = slowBody{r.Body, 550 * time.Millisecond}
			return httptest.NewRecorder()
		}, false},
		"answer after 1.1 s": {func(s *stage, r *http.Request) http.ResponseWriter { return slowWriter{httptest.NewRecorder()} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.post = func(_ *http.Request, f url.Values) (int, string) {
					r := s.confirmRequest(confirmOf(f))
					s.Handler().ServeHTTP(test.slow(s, r), r)
					return 202, ""
				}
				a := s.stageConnect(t.Context())
				if test.ok {
					a.want(t, http.StatusOK, "")
				} else {
					a.want(t, http.StatusBadGateway, "comity.site_unusable")
				}
			})
		})
	}
}

type slowWriter struct{ *httptest.ResponseRecorder }

func (w slowWriter) FlushError() error { time.Sleep(1100 * time.Millisecond); return nil }

// A flood of wrong verifiers is limited by address; the right one passes all
// the same.
func TestWrongVerifiersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		guess := func(remote string) answer {
			r := s.confirmRequest("verifier=guess&client_id=x&client_token=x&client_secret=x")
			r.RemoteAddr = remote
			return s.serve(r)
		}
		for range 20 {
			if a := guess("192.0.2.1:1"); a.text("code") != "ba.invalid_verifier" {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		if a := guess("192.0.2.1:1"); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "1" {
			t.Errorf("after the burst: %d %s", a.status, a.body)
		}
		if a := guess("198.51.100.1:1"); a.text("code") != "ba.invalid_verifier" {
			t.Errorf("from another address: %d %s", a.status, a.body)
		}
		s.post = s.confirms
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	})
}

// A client that is stopped while the site works gets nothing, and a site that
// confirms after the stop stores nothing.
func TestStoppedMeanwhile(t *testing.T) {
	for name, post := range map[string]func(s *stage, stop func()) func(*http.Request, url.Values) (int, string){
		"before the confirm": func(s *stage, stop func()) func(*http.Request, url.Values) (int, string) {
			return func(_ *http.Request, f url.Values) (int, string) {
				stop()
				if a := s.stageConfirm(confirmOf(f)); a.text("code") != "ba.rejected_client" {
					s.t.Errorf("confirm: %d %s", a.status, a.body)
				}
				return 202, ""
			}
		},
		"between confirm and 202": func(s *stage, stop func()) func(*http.Request, url.Values) (int, string) {
			return func(r *http.Request, f url.Values) (int, string) {
				status, body := s.confirms(r, f)
				stop()
				return status, body
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.post = post(s, func() {
					s.world.records.change(client, func(c *registry.ClientState) {
						c.Status, c.Reason, c.Since = registry.ClientRevoked, "compromised", 1790000000
					})
				})
				a := s.stageConnect(t.Context())
				if strings.Contains(a.body, "SECRET") || a.status == 200 {
					t.Fatalf("released %s", a.body)
				}
				a.want(t, http.StatusBadRequest, "ba.rejected_client")
			})
		})
	}
}
