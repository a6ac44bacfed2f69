// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ReplayConfig says what to replay.
type ReplayConfig struct {
	Recording  string // one of Recordings
	ConfirmURL string // of the broker
	// Scale is what recorded times are multiplied with. Zero: nothing waits,
	// and the site gives up on a confirm after 5 s, as at a scale of 1.
	Scale float64
}

// Replay is a site that sends what was recorded, whatever it is asked for in
// detail: it checks nothing, and verifies no signature.
type Replay struct {
	*host
	cfg       ReplayConfig
	recording *recording

	mu       sync.Mutex
	played   map[string]int // by method and path
	callback string         // of the last connection request
}

// NewReplay starts a site that replays a recording.
func NewReplay(c ReplayConfig) (*Replay, error) {
	if c.ConfirmURL == "" {
		return nil, errors.New("a replay needs the broker's confirm URL")
	}
	recording, err := readRecording(c.Recording)
	if err != nil {
		return nil, err
	}
	r := &Replay{cfg: c, recording: recording, played: map[string]int{}}
	if r.host, err = listen("127.0.0.1:0", "", nil); err != nil {
		return nil, fmt.Errorf("starting a replay: %w", err)
	}
	r.host.serve(r.answers)
	return r, nil
}

// next returns the first exchange of a method and path that was not played,
// and the last one when all were.
func (p *Replay) next(method, path string) (recorded, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := p.recording; r != nil; r = r.like {
		var fit []recorded
		for _, e := range r.exchanges {
			if e.method == method && e.path == path {
				fit = append(fit, e)
			}
		}
		if len(fit) > 0 {
			n := p.played[method+path]
			p.played[method+path]++
			return fit[min(n, len(fit)-1)], true
		}
	}
	return recorded{}, false
}

func (p *Replay) answers(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	a, err := p.log.receive(w, r, replayKind(r))
	if err != nil {
		return
	}
	defer a.end()
	e, ok := p.next(r.Method, r.URL.Path)
	if !ok {
		http.Error(a, "the recording "+p.cfg.Recording+" has no "+r.Method+" of this path", http.StatusNotFound)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(a, err.Error(), http.StatusBadRequest)
		return
	}
	values := p.values(r.PostForm)
	for _, ask := range e.asks {
		if !p.until(began, ask.at) {
			panic(http.ErrAbortHandler)
		}
		target := values.Replace(ask.target)
		if ask.target == "{location}" {
			target = values.location
		}
		values.location = p.ask(ask, values, target)
	}
	if !p.until(began, e.answer.at) {
		panic(http.ErrAbortHandler)
	}
	values.write(a, e.answer)
}

// ask sends a confirm and returns where the broker redirects it to, if it
// does. It gives up as the plugin did.
func (p *Replay) ask(m message, values *values, target string) (location string) {
	limit := 5 * time.Second
	if p.cfg.Scale > 0 {
		limit = time.Duration(float64(limit) * p.cfg.Scale)
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	_, location = p.send(ctx, m.method, target, values.header(m), values.Replace(m.body))
	return location
}

// until waits for a recorded time, and reports false when the site was closed.
func (p *Replay) until(began time.Time, at time.Duration) bool {
	return p.pause(time.Until(began.Add(time.Duration(float64(at) * p.cfg.Scale))))
}

// values stand for the names in braces of a recording.
type values struct {
	*strings.Replacer
	location string
}

// values takes those of a connection request; the callback stays known.
func (p *Replay) values(form url.Values) *values {
	p.mu.Lock()
	defer p.mu.Unlock()
	if form.Has("callback_url") {
		p.callback = form.Get("callback_url")
	}
	site := p.base.String()
	return &values{Replacer: strings.NewReplacer(
		"{site}", site, "{site_json}", strings.ReplaceAll(site, "/", `\/`), "{confirm}", p.cfg.ConfirmURL,
		"{verifier}", form.Get("verifier"), "{client_id}", form.Get("client_id"), "{callback}", p.callback,
	)}
}

func (v *values) header(m message) http.Header {
	h := http.Header{}
	for name, all := range m.header {
		for _, value := range all {
			h.Add(name, v.Replace(value))
		}
	}
	return h
}

// pad is a place in a body that is filled until the body has so many bytes.
var pad = regexp.MustCompile(`\{pad:(\d+)\}`)

func (v *values) write(w http.ResponseWriter, m message) {
	for name, all := range v.header(m) {
		w.Header()[name] = all
	}
	w.WriteHeader(m.status)
	body := v.Replace(m.body)
	if found := pad.FindStringSubmatch(body); found != nil {
		weight, _ := strconv.Atoi(found[1])
		body = strings.Replace(body, found[0], strings.Repeat("x", max(0, weight-len(body)+len(found[0]))), 1)
	}
	w.Write([]byte(body))
}

// replayKind names a request for the log.
func replayKind(r *http.Request) Kind {
	kinds := map[string]Kind{
		"/": Discovery, "/wp-json/": Index, "/wp-json/broker/v1/connect": Connect, "/oauth1/request": RequestToken,
		"/oauth1/authorize": Authorize, "/wp-login.php": Login, "/oauth1/access": AccessToken, "/wp-json/wp/v2/users/me": API,
	}
	if kind, ok := kinds[r.URL.Path]; ok {
		return kind
	}
	return Other
}
