// SPDX-License-Identifier: Apache-2.0

package site

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// maxFormBytes bounds the forms of the site's own pages.
const maxFormBytes = 32 << 10

// readForm reads the form that one of the site's own pages posts: parameters
// in the body alone, each once.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("it is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFormBytes))
	if err != nil {
		return nil, errors.New("it is too long")
	}
	return parseForm(string(body), maxFormBytes)
}
