// SPDX-License-Identifier: Apache-2.0

package clientdoc_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/clientdoc"
)

func TestFetch(t *testing.T) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, c := range map[string]struct {
		status      int
		contentType string
		body        string
		want        error
	}{
		"good":               {200, "application/json; charset=utf-8", "{}", nil},
		"good, another JSON": {200, "application/oauth+json", "{}", nil},
		"a page":             {200, "text/html", "{}", clientdoc.ErrNone},
		"gone":               {404, "application/json", "{}", clientdoc.ErrNone},
		"a redirect":         {302, "application/json", "{}", clientdoc.ErrNone},
		"busy":               {429, "application/json", "{}", clientdoc.ErrUnreachable},
		"broken":             {503, "application/json", "{}", clientdoc.ErrUnreachable},
		"too long":           {200, "application/json", strings.Repeat(" ", clientdoc.MaxBytes+1), clientdoc.ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			body, err := clientdoc.Fetch(t.Context(), client, s.URL+"/client")
			if !errors.Is(err, c.want) || c.want == nil && string(body) != c.body {
				t.Errorf("%q, %v, expected %v", body, err, c.want)
			}
		})
	}
	if _, err := clientdoc.Fetch(t.Context(), client, "http://127.0.0.1:1/client"); !errors.Is(err, clientdoc.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}
