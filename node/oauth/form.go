// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// maxFormBytes bounds the body of a request: a code, an assertion with a
	// large key, and the rest fit many times.
	maxFormBytes = 64 << 10
	// maxQueryBytes bounds the query of an authorization request. What a
	// browser sends in a redirect is shorter.
	maxQueryBytes = 8 << 10
)

// form holds the parameters of one request. Each was sent once, is valid UTF-8
// without NUL, and is not empty: a parameter without a value counts as not
// sent (RFC 6749, section 3.1).
type form map[string]string

// need returns a parameter that must be there.
func (f form) need(name string) (string, error) {
	if f[name] == "" {
		return "", invalidRequest("%s is missing", name)
	}
	return f[name], nil
}

// parseForm reads the body of a POST. It is the only place that does.
func parseForm(w http.ResponseWriter, r *http.Request) (form, error) {
	if r.Method != http.MethodPost {
		return nil, methodNotAllowed(http.MethodPost)
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, invalidRequest("send the parameters in the body, not in the query")
	}
	if !isForm(r.Header.Values("Content-Type")) {
		f := invalidRequest("Content-Type must be application/x-www-form-urlencoded")
		f.Status = http.StatusUnsupportedMediaType
		return nil, f
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, invalidRequest("Content-Encoding is not supported")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFormBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		f := invalidRequest("more than %d bytes", maxFormBytes)
		f.Status = http.StatusRequestEntityTooLarge
		return nil, f
	}
	if err != nil {
		return nil, invalidRequest("the body ended early")
	}
	return parseParameters(string(body))
}

// isForm judges the Content-Type of a request.
func isForm(types []string) bool {
	const form = "application/x-www-form-urlencoded"
	if len(types) != 1 || types[0] == form {
		return len(types) == 1
	}
	media, _, err := mime.ParseMediaType(types[0])
	return err == nil && media == form
}

// parseQuery reads the parameters of a GET.
func parseQuery(r *http.Request) (form, error) {
	if len(r.URL.RawQuery) > maxQueryBytes {
		f := invalidRequest("the query has more than %d bytes", maxQueryBytes)
		f.Status = http.StatusRequestURITooLong
		return nil, f
	}
	return parseParameters(r.URL.RawQuery)
}

// parseParameters is stricter than url.ParseQuery, which hides duplicates from
// those who ask for one value, where two readers of one request see two
// meanings (fault 3).
func parseParameters(encoded string) (form, error) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, invalidRequest("the parameters are not form-encoded")
	}
	f := make(form, len(values))
	for name, v := range values {
		if !isText(name) {
			return nil, invalidRequest("a parameter's name is not UTF-8 text")
		}
		if len(v) != 1 {
			return nil, invalidRequest("%.64s is sent %d times", name, len(v))
		}
		if !isText(v[0]) {
			return nil, invalidRequest("%.64s is not UTF-8 text", name)
		}
		if v[0] != "" {
			f[name] = v[0]
		}
	}
	if resource, ok := f["resource"]; ok {
		f["resource"] = withoutEmptyPath(resource)
	}
	return f, nil
}

// withoutEmptyPath writes the URL of an origin without the slash at its end. It
// means the same with it (RFC 3986, section 6.2.3), and programs that take URLs
// apart and put them together again add it.
func withoutEmptyPath(resource string) string {
	if origin, ok := strings.CutSuffix(resource, "/"); ok && strings.Count(origin, "/") == 2 {
		return origin
	}
	return resource
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
