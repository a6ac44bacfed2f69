// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"errors"
	"io"
	"mime"
	"net/http"
)

const formType = "application/x-www-form-urlencoded"

// readForm reads the body of a POST that is a form.
func readForm(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, methodNotAllowed(http.MethodPost)
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != formType || len(r.Header.Values("Content-Type")) != 1 {
		f := invalidRequest("Content-Type must be %s", formType)
		f.Status = http.StatusUnsupportedMediaType
		return nil, f
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, invalidRequest("Content-Encoding is not supported")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		f := invalidRequest("more than %d bytes", limit)
		f.Status = http.StatusRequestEntityTooLarge
		return nil, f
	}
	if err != nil {
		return nil, invalidRequest("the body ended early")
	}
	return body, nil
}
