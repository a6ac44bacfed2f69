// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
)

// siteData is what a site says of itself, for the client to show.
type siteData struct {
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	URL            string          `json:"url"`
	Home           string          `json:"home"`
	Namespaces     []string        `json:"namespaces"`
	Authentication json.RawMessage `json:"authentication"` // an object
}

// errNoBroker: the index is one, but offers no brokered authentication.
var errNoBroker = errors.New("the site's API index has no authentication.broker: its owner installs and activates a plugin for brokered authentication")

// parseIndex reads the API index of a site: what it says of itself, and its
// endpoint for connection requests as it is written. Members that nobody knows
// are passed over; those that are known have their type.
func parseIndex(index []byte) (siteData, string, error) {
	var data siteData
	members, err := strictjson.Object(index, strictjson.Limits{Values: maxIndexItems, Members: 1024})
	if err != nil {
		return data, "", fmt.Errorf("not a JSON object: %w", err)
	}
	var authentication strictjson.RawMessage
	into := map[string]any{
		"name": &data.Name, "description": &data.Description, "url": &data.URL, "home": &data.Home,
		"namespaces": &data.Namespaces, "authentication": &authentication,
	}
	for _, m := range members {
		if v, ok := into[m.Name]; ok {
			if err := strictjson.Unmarshal(m.Value, v); err != nil {
				return data, "", fmt.Errorf("%s has the wrong type", m.Name)
			}
		}
	}
	if err := data.bound(); err != nil {
		return data, "", err
	}
	// PHP writes an empty map as an empty list.
	if a := string(authentication); a == "" || a == "[]" || a == "null" {
		return data, "", errNoBroker
	}
	return data.withAuthentication(authentication)
}

// bound cuts what people read and refuses what is too long for programs.
func (d *siteData) bound() error {
	d.Name, d.Description = cut(d.Name, maxTextRunes), cut(d.Description, maxTextRunes)
	if len(d.URL) > maxURLBytes || len(d.Home) > maxURLBytes {
		return fmt.Errorf("url or home has more than %d bytes", maxURLBytes)
	}
	if len(d.Namespaces) > maxNamespaces {
		return fmt.Errorf("more than %d namespaces", maxNamespaces)
	}
	for _, n := range d.Namespaces {
		if len(n) > maxNamespaceBytes {
			return fmt.Errorf("a namespace has more than %d bytes", maxNamespaceBytes)
		}
	}
	if d.Namespaces == nil {
		d.Namespaces = []string{}
	}
	return nil
}

func (d siteData) withAuthentication(raw []byte) (siteData, string, error) {
	if len(raw) > maxAuthenticationBytes {
		return d, "", fmt.Errorf("authentication has more than %d bytes", maxAuthenticationBytes)
	}
	members, err := strictjson.Object(raw, strictjson.Limits{Values: 1024, Members: 256})
	if err != nil {
		return d, "", errors.New("authentication is not an object")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return d, "", errors.New("authentication is not an object")
	}
	d.Authentication = compact.Bytes()
	for _, m := range members {
		if m.Name != "broker" {
			continue
		}
		var endpoint *string
		if err := strictjson.Unmarshal(m.Value, &endpoint); err != nil || endpoint == nil {
			return d, "", errors.New("authentication.broker is not a URL string")
		}
		return d, *endpoint, nil
	}
	return d, "", errNoBroker
}

// resource returns the identifier that the site's home would have as a
// resource: without a slash at the end. Empty: it is no usable URL.
func (d siteData) resource() string {
	u, err := checkURL(d.Home, nil)
	if err != nil || u.RawQuery != "" || u.ForceQuery {
		return ""
	}
	return strings.TrimRight(u.String(), "/")
}

// checkURL parses an absolute URL that somebody else chose, or one relative to
// base, and refuses what no site needs. From https there is no way to http.
// Whether its address may be reached is for the guarded client to say.
func checkURL(s string, base *url.URL) (*url.URL, error) {
	if s == "" || len(s) > maxURLBytes {
		return nil, fmt.Errorf("a URL has 1 to %d bytes", maxURLBytes)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' || r == 0xfffd }) {
		return nil, errors.New("a URL has no spaces, backslashes or control characters")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return nil, errors.New("not an https URL")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case u.User != nil:
		return nil, errors.New("the URL has user info")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("the URL has a fragment")
	case base != nil && base.Scheme == "https" && u.Scheme != "https":
		return nil, errors.New("it leads from https to http")
	case len(u.String()) > maxURLBytes:
		return nil, fmt.Errorf("a URL has 1 to %d bytes", maxURLBytes)
	}
	return u, nil
}

// origin is scheme, host and port of a URL, as one string.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}
