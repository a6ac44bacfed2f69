// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// Browser is the user's: it keeps cookies, follows redirects, and fills in the
// forms that it is shown.
type Browser struct {
	client http.Client
	// StopAt: a redirect to a URL with this beginning is not followed, since
	// only the user's machine could (the app's redirect URI). Empty: never.
	StopAt string
}

// NewBrowser returns one without cookies.
func NewBrowser(transport http.RoundTripper) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // never: without options nothing can fail
	}
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{client: http.Client{Jar: jar, Transport: transport, CheckRedirect: noFollow}}
}

// Cookies are those that the browser would send to a URL.
func (b *Browser) Cookies(u *url.URL) []*http.Cookie { return b.client.Jar.Cookies(u) }

// Page is where the browser has come to.
type Page struct {
	URL     string
	Status  int
	Header  http.Header
	Body    string
	Stopped bool // at a redirect to StopAt; Status and Body are those of the redirect
	Forms   []Form
}

// ParsePage is a page that the browser shows without having asked for it.
func ParsePage(at, body string) *Page {
	return &Page{URL: at, Status: http.StatusOK, Body: body, Forms: forms(body)}
}

// Open goes to a URL.
func (b *Browser) Open(ctx context.Context, target string) (*Page, error) {
	return b.visit(ctx, http.MethodGet, target, "", nil)
}

// Submit fills values into the first form of the page that has the button, and
// presses it. The button is named by its label, or as name=value.
func (b *Browser) Submit(ctx context.Context, p *Page, press string, values map[string]string) (*Page, error) {
	for _, f := range p.Forms {
		button, ok := f.button(press)
		if !ok {
			continue
		}
		fields := url.Values{}
		for name, all := range f.Fields {
			fields[name] = all
		}
		for name, value := range values {
			fields.Set(name, value)
		}
		if button.Name != "" {
			fields.Set(button.Name, button.Value)
		}
		target, err := resolve(p.URL, f.Action)
		if err != nil {
			return nil, err
		}
		if f.Method == http.MethodGet {
			return b.visit(ctx, http.MethodGet, target+"?"+fields.Encode(), "", nil)
		}
		return b.visit(ctx, http.MethodPost, target, origin(p.URL), fields)
	}
	return nil, fmt.Errorf("%s (status %d) has no button %q: %s", p.URL, p.Status, press, Text(p.Body))
}

func (b *Browser) visit(ctx context.Context, method, target, from string, form url.Values) (*Page, error) {
	for range 10 {
		p, next, err := b.fetch(ctx, method, target, from, form)
		if err != nil || next == "" {
			return p, err
		}
		if b.StopAt != "" && strings.HasPrefix(next, b.StopAt) {
			p.Stopped, p.URL = true, next
			return p, nil
		}
		if p.Status != http.StatusTemporaryRedirect && p.Status != http.StatusPermanentRedirect {
			method, form = http.MethodGet, nil
		}
		target = next
	}
	return nil, errors.New("more than 10 redirects")
}

// fetch loads one URL and says where it redirects to.
func (b *Browser) fetch(ctx context.Context, method, target, from string, form url.Values) (*Page, string, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", from)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if origin(target) != from {
			req.Header.Set("Sec-Fetch-Site", "cross-site")
		}
	}
	res, err := b.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, "", err
	}
	p := &Page{URL: target, Status: res.StatusCode, Header: res.Header, Body: string(data), Forms: forms(string(data))}
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return p, "", nil
	}
	next, err := resolve(target, res.Header.Get("Location"))
	return p, next, err
}

func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	if ref == "" {
		return base, nil
	}
	u, err := b.Parse(ref)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// Form is one form of a page.
type Form struct {
	Action  string
	Method  string // GET or POST
	Fields  url.Values
	Buttons []Button
}

// Button submits a form.
type Button struct{ Label, Name, Value string }

func (f Form) button(press string) (Button, bool) {
	for _, b := range f.Buttons {
		if strings.EqualFold(b.Label, press) || b.Name != "" && b.Name+"="+b.Value == press {
			return b, true
		}
	}
	return Button{}, false
}

var (
	formElement   = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	inputElement  = regexp.MustCompile(`(?is)<input\b([^>]*)>`)
	buttonElement = regexp.MustCompile(`(?is)<button\b([^>]*)>(.*?)</button>`)
	attribute     = regexp.MustCompile(`(?is)([a-z-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?`)
	element       = regexp.MustCompile(`(?is)<style.*?</style>|<script.*?</script>|<[^>]*>`)
)

// forms finds the forms of a page. It reads the HTML that our pages and the
// story's pages write, not any HTML.
func forms(page string) []Form {
	var all []Form
	for _, m := range formElement.FindAllStringSubmatch(page, -1) {
		at := attributes(m[1])
		f := Form{Action: at["action"], Method: strings.ToUpper(at["method"]), Fields: url.Values{}}
		if f.Method == "" {
			f.Method = http.MethodGet
		}
		for _, in := range inputElement.FindAllStringSubmatch(m[2], -1) {
			in := attributes(in[1])
			_, checked := in["checked"]
			if in["type"] == "submit" {
				f.Buttons = append(f.Buttons, Button{Label: in["value"], Name: in["name"], Value: in["value"]})
				continue
			}
			if box := in["type"] == "checkbox" || in["type"] == "radio"; in["name"] != "" && (!box || checked) {
				f.Fields.Add(in["name"], in["value"])
			}
		}
		for _, b := range buttonElement.FindAllStringSubmatch(m[2], -1) {
			at := attributes(b[1])
			f.Buttons = append(f.Buttons, Button{Label: Text(b[2]), Name: at["name"], Value: at["value"]})
		}
		all = append(all, f)
	}
	return all
}

func attributes(text string) map[string]string {
	all := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(text, -1) {
		all[strings.ToLower(m[1])] = html.UnescapeString(m[2] + m[3] + m[4])
	}
	return all
}

// Text is what a person reads of a page, on one line.
func Text(page string) string {
	return strings.Join(strings.Fields(html.UnescapeString(element.ReplaceAllString(page, " "))), " ")
}
