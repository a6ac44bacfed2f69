// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// baseString makes the signature base string (RFC 5849, section 3.4.1.1).
func baseString(method, uri string, lists ...[]parameter) string {
	if method == "" {
		method = "GET" // as net/http's client has it
	}
	return strings.ToUpper(method) + "&" + escape(uri) + "&" + escape(normalize(lists))
}

// normalize joins all parameters but the signature (section 3.4.1.3.2): sorted
// by their encoded names, and those of one name by their encoded values.
func normalize(lists [][]parameter) string {
	var all []parameter
	for _, list := range lists {
		for _, p := range list {
			if p.name != "oauth_signature" {
				all = append(all, parameter{escape(p.name), escape(p.value)})
			}
		}
	}
	slices.SortFunc(all, func(a, b parameter) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var b strings.Builder
	for i, p := range all {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}

// baseURI makes the base string URI (section 3.4.1.2), of scheme and host of
// public, and the path of u as it was sent.
func baseURI(u, public *url.URL) (string, error) {
	if public == nil || public.Hostname() == "" || public.User != nil {
		return "", errors.New("oauth1: the public URL must have a host, and no user")
	}
	scheme, host := strings.ToLower(public.Scheme), strings.ToLower(public.Host)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	default:
		return "", errors.New("oauth1: the public URL must be http or https")
	}
	path := cmp.Or(u.EscapedPath(), "/")
	if u.Opaque != "" || path[0] != '/' {
		return "", malformed("the request has no path")
	}
	return scheme + "://" + strings.TrimSuffix(host, ":") + path, nil
}
