// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshotsEnv names a directory that gets a picture of every page.
const screenshotsEnv = "COMITY_SCREENSHOTS"

// appHost is the host of the app in Chromium: a name that leads to its server
// here, so that the app has https.
const appHost = "app.example"

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	scheme        string // prefers-color-scheme
}

var looks = []look{
	{"desk-light", 1280, 900, "light"},
	{"desk-dark", 1280, 900, "dark"},
	{"phone-light", 390, 844, "light"},
	{"phone-dark", 390, 844, "dark"},
}

// newChromium starts a browser in which appHost is the app.
func newChromium(t *testing.T) context.Context {
	t.Helper()
	app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><title>App</title><link rel=icon href=data:,><h1>The app</h1>")
	}))
	t.Cleanup(app.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("host-resolver-rules", "MAP "+appHost+":443 "+app.Listener.Addr().String()),
	)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// tab is one window of a person without JavaScript. Whatever the browser
// complains of fails the test.
type tab struct {
	testing.TB
	ctx  context.Context
	look look

	mu       sync.Mutex
	expected int // status that the next page has, which the console reports
}

func newTab(t testing.TB, browser context.Context, l look) *tab {
	t.Helper()
	b := &tab{TB: t, look: l}
	ctx, done := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(done)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	b.ctx = ctx
	phone := func(p *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
		p.Mobile = l.width < 500
	}
	b.do(
		send(cdplog.Enable, cdp.Empty{}), send(audits.Enable, cdp.Empty{}),
		send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}),
		send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
		}),
		chromedp.EmulateViewport(l.width, l.height, phone),
	)
	return b
}

// hear fails the test for what a developer would see in the console: errors,
// and what the content security policy forbids.
func (b *tab) hear(event any) {
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		b.mu.Lock()
		expected := b.expected
		b.mu.Unlock()
		if e.Entry.Source == cdplog.EntrySourceNetwork && expected != 0 && strings.Contains(e.Entry.Text, fmt.Sprint("status of ", expected)) {
			return
		}
		b.Errorf("%s: the console shows: %s %s (%s)", b.look.name, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		b.Errorf("%s: the console shows %s", b.look.name, e.Type)
	case *audits.EventIssueAdded:
		b.Errorf("%s: the browser has an issue: %s %+v", b.look.name, e.Issue.Code, e.Issue.Details)
	}
}

// step is something that the person or the browser does.
type step = chromedp.Action[chromedp.Void]

// send is a command of the protocol as a step.
func send[P, R any](command cdp.Command[P, R], params P) step {
	return func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, t, command, params)
		return none, err
	}
}

func (b *tab) do(steps ...step) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatalf("%s: %v", b.look.name, err)
	}
}

// ask is do for what has a result.
func ask[T any](b *tab, question chromedp.Action[T]) T {
	b.Helper()
	answer, err := chromedp.Run(b.ctx, question)
	if err != nil {
		b.Fatalf("%s: %v", b.look.name, err)
	}
	return answer
}

// goes does what leads to another page and wants its status and heading.
func (b *tab) goes(status int, heading string, steps ...step) {
	b.Helper()
	b.mu.Lock()
	b.expected = 0
	if status != http.StatusOK {
		b.expected = status
	}
	b.mu.Unlock()
	res, err := chromedp.RunResponse(b.ctx, steps...)
	if err != nil {
		b.Fatalf("%s: on the way to %q: %v", b.look.name, heading, err)
	}
	got := ask(b, chromedp.Text(chromedp.CSS("h1")))
	if got != heading || res.Status != int64(status) {
		b.Fatalf("%s: came to %q with %d, expected %q with %d", b.look.name, got, res.Status, heading, status)
	}
}

// press clicks a button.
func press(selector string) step { return chromedp.Click(chromedp.CSS(selector)) }

// typed fills a field, in place of what is in it, by keys alone.
func typed(selector, text string) step {
	return chromedp.Steps(
		press(selector),
		send(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Commands: []string{"selectAll"}}),
		chromedp.SendKeys(chromedp.CSS(selector), text),
	)
}

// picture takes a picture of the page, and wants it to be no wider than the
// screen.
func (b *tab) picture(name string) {
	b.Helper()
	if width := ask(b, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); width > b.look.width {
		b.Errorf("%s: %s is %v pixels wide", b.look.name, name, width)
	}
	dir := os.Getenv(screenshotsEnv)
	if dir == "" {
		return
	}
	png := ask(b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+"-"+b.look.name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}
