// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestDifferential sends the same wrong requests to our broker and to an
// authorization server that others have certified, and compares the class of
// the status, and the error and the scheme of WWW-Authenticate where both say
// one.
func TestDifferential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ours, theirs := w.ours(), w.oracle()
	for _, wrong := range wrongRequests {
		t.Run(wrong.name, func(t *testing.T) {
			got, other := ours.answer(t, wrong), theirs.answer(t, wrong)
			if got.String() != wrong.want {
				t.Errorf("we answer %s, expected %s", got, wrong.want)
			}
			same := got.class() == other.class() && agree(got.code, other.code) && agree(got.scheme, other.scheme)
			if same && wrong.differs != "" {
				t.Errorf("both answer %s, which makes this untrue: %s", other, wrong.differs)
			}
			if !same && wrong.differs == "" {
				t.Errorf("we answer %s, the oracle %s", got, other)
			}
		})
	}
}

// wrongRequest is one row.
type wrongRequest struct {
	name    string
	request string // METHOD endpoint [header: value]…, a blank line, the parameters; $names as server.value has them
	want    string // our answer
	differs string // why the oracle's may differ
}

// outcome is what is compared of an answer.
type outcome struct {
	status int
	code   string // error, of the document or of the redirect; empty: none, or a page
	scheme string // of WWW-Authenticate
}

func (o outcome) class() int { return o.status / 100 }

func (o outcome) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", o.status, o.code, o.scheme))
}

func agree(a, b string) bool { return a == "" || b == "" || a == b }

// answer sends a row to a server.
func (s *server) answer(t *testing.T, wrong wrongRequest) outcome {
	t.Helper()
	w := *s.world
	w.TB = t
	here := *s
	here.world = &w
	head, parameters, _ := strings.Cut(os.Expand(wrong.request, here.value), "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	target, body := s.issuer+"/oauth/"+path, io.Reader(strings.NewReader(parameters))
	if method == http.MethodGet && parameters != "" {
		target, body = target+"?"+parameters, nil
	}
	req, err := http.NewRequestWithContext(w.ctx, method, target, body)
	w.check(err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if id, secret, ok := strings.Cut(value, ":"); name == "Basic" && ok {
			req.SetBasicAuth(id, secret)
		} else {
			req.Header.Set(name, value)
		}
	}
	res, err := direct.Do(req)
	w.check(err)
	defer res.Body.Close()
	o := outcome{status: res.StatusCode}
	o.scheme, _, _ = strings.Cut(strings.ReplaceAll(res.Header.Get("WWW-Authenticate"), ",", " "), " ")
	if to, err := url.Parse(res.Header.Get("Location")); err == nil {
		o.code = to.Query().Get("error")
		if in, err := url.ParseQuery(to.Fragment); err == nil && o.code == "" { // RFC 6749, section 4.2.2.1
			o.code = in.Get("error")
		}
	}
	var document struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(res.Body).Decode(&document) == nil && o.code == "" {
		o.code = document.Error
	}
	return o
}
