// SPDX-License-Identifier: Apache-2.0

// Package style is how pages look, at brokers and at sites: one style sheet
// without a picture, a font or a script, for light and dark, for a phone and a
// desk. A page is a <main> with a <p class="site"> that says whose it is, an
// <h1>, and what there is to say.
package style

import (
	_ "embed" // the sheet
	"net/http"
)

//go:embed style.css
var sheet []byte

// ServeHTTP answers with the style sheet.
func ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(sheet)
}
