// SPDX-License-Identifier: Apache-2.0

// Package demo tells the story of Comity on one machine, in real time: brokers
// that are child processes of this binary, two sites and an app that speak HTTP
// and nothing else, and a user's browser. The brokers become a federation on
// the command line. The app is registered once, with the first of them, its
// home; each site knows one other broker. The user logs in at the first site,
// in eleven steps, and at the second; the home is killed, and a login works all
// the same; it comes back, and its operator revokes the app on the command
// line; each site refuses it by itself, and so does each broker.
//
// With one broker the story is shorter: that one is home and serves both sites.
//
// Nothing is left behind: the processes die with this one, and everything that
// is written is in one temporary directory. A step that fails ends the story.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// limit is the time that the whole story may take.
const limit = 2 * time.Minute

// MaxBrokers is how many brokers can take part.
const MaxBrokers = 5

// Config says how the story is told. Only Binary is required.
type Config struct {
	Binary  string     // the comity binary
	Brokers int        // how many take part, 1 to MaxBrokers; 0 is 1
	Report  func(Step) // called after each step
	Log     io.Writer  // gets what the brokers and the sites log
}

// stage is what the story is played on.
type stage struct {
	*story
	cfg     Config
	dir     string
	brokers process.Federation // the first is the app's home
	sites   [2]*site.Site
	app     *appServer
	user    *app.Browser
	logins  []login
}

// Run tells the story. It always returns a Result: one that is not OK ends
// with the step that failed.
func Run(ctx context.Context, cfg Config) *Result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cfg.Brokers = min(max(cfg.Brokers, 1), MaxBrokers)
	s := &stage{story: &story{ctx: ctx, report: cfg.Report}, cfg: cfg, user: app.NewBrowser(nil)}
	func() {
		defer s.clear()
		s.setUp()
		s.firstLogin()
		s.secondLogin()
		if len(s.brokers) > 1 {
			s.homeless()
		}
		s.stop()
		s.takeDown()
	}()
	s.result.OK, s.result.brokers = s.err == nil, cfg.Brokers
	return &s.result
}

// login is one token that the app was given.
type login struct {
	name    string // of the site, as the story tells it
	session *session
}

// setUp starts the parties.
func (s *stage) setUp() {
	s.federate()
	s.step("two sites start", func() (string, error) {
		for i, name := range []string{"Notebook", "Diary"} {
			var err error
			if s.sites[i], err = s.startSite(name, s.brokerOf(i)); err != nil {
				return "", err
			}
		}
		if len(s.brokers) == 1 {
			return s.sites[0].Resource + " and " + s.sites[1].Resource, nil
		}
		return fmt.Sprintf("%s knows broker %s, %s knows broker %s", s.sites[0].Resource, letter(s.viaOf(0)), s.sites[1].Resource, letter(s.viaOf(1))), nil
	})
	s.step("the app is registered, once", func() (string, error) {
		var err error
		if s.app, err = newAppServer(); err != nil {
			return "", err
		}
		return s.register()
	})
	if s.err == nil && len(s.brokers) > 1 {
		s.step("every broker knows it", s.spread)
	}
}

// viaOf is the broker that a site delegates to: B and C, where there are three.
func (s *stage) viaOf(site int) int { return min(site+1, len(s.brokers)-1) }

func (s *stage) brokerOf(site int) *process.Node { return s.brokers[s.viaOf(site)] }

// letter is what the story calls a broker.
func letter(i int) string { return string(rune('A' + i)) }

func (s *stage) startSite(name string, broker *process.Node) (*site.Site, error) {
	log := slog.New(slog.DiscardHandler)
	if s.cfg.Log != nil {
		log = slog.New(slog.NewJSONHandler(s.cfg.Log, nil)).With("site", name)
	}
	return site.Start(s.ctx, site.Config{
		Dir: filepath.Join(s.dir, strings.ToLower(name)), Name: name,
		Brokers: []string{broker.Issuer}, Federation: broker.Ready.Federation, Log: log,
	})
}

// register registers the app with the command line, with a key of its own.
func (s *stage) register() (string, error) {
	var registered struct {
		ClientID string `json:"client_id"`
		Index    int64  `json:"index"`
	}
	keyFile := filepath.Join(s.dir, "app.jwk")
	err := s.brokers[0].JSON(s.ctx, &registered, "app", "register", "--name", appName,
		"--redirect-uri", s.app.client.RedirectURI, "--new-key", keyFile)
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return "", err
	}
	client := &s.app.client
	client.ClientID, client.AuthMethod = registered.ClientID, "private_key_jwt"
	client.Key, err = app.ParseKey(key)
	where := "the broker's log"
	if len(s.brokers) > 1 {
		where = "the log of broker A, its home"
	}
	return fmt.Sprintf("client %s, entry %d of %s", short(client.ClientID), registered.Index, where), err
}

// secondLogin does at the other site what firstLogin did, in two steps.
func (s *stage) secondLogin() {
	s.chapter = "The same registration at another site"
	s.step("the user logs in at the second site", func() (string, error) { return s.quickLogin(1, "the second site") })
	s.step("the app calls the second site", s.callSite)
}

// quickLogin is a whole login.
func (s *stage) quickLogin(site int, name string) (string, error) {
	page, err := s.toSite(s.sites[site])
	if err != nil {
		return "", err
	}
	if page, err = s.consent(page); err != nil {
		return "", err
	}
	if page, err = s.user.Open(s.ctx, page.URL); err != nil {
		return "", err
	}
	s.logins = append(s.logins, login{name, s.app.newest()})
	return "app: " + said(page), want(page, http.StatusOK)
}

// callSite opens the app's page with the notes of the newest login.
func (s *stage) callSite() (string, error) {
	page, err := s.user.Open(s.ctx, s.app.url+"/notes")
	if err != nil {
		return "", err
	}
	return "site: " + said(page), want(page, http.StatusOK)
}

// takeDown stops everything in order.
func (s *stage) takeDown() {
	s.chapter = "The end"
	name := "the broker stops"
	if len(s.brokers) > 1 {
		name = "the brokers stop"
	}
	s.step(name, func() (string, error) {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		for _, broker := range s.brokers {
			if _, err := broker.Stop(ctx); err != nil {
				return "", err
			}
		}
		return "in order; their directory is removed, nothing is left", nil
	})
}

// clear leaves nothing behind, whatever has happened.
func (s *stage) clear() {
	for _, site := range s.sites {
		if site != nil {
			site.Close()
		}
	}
	if s.app != nil {
		s.app.server.Close()
	}
	for _, broker := range s.brokers {
		broker.Kill()
	}
	if s.dir != "" {
		if err := os.RemoveAll(s.dir); err != nil && s.err == nil {
			s.err = err
		}
	}
}

// short is the beginning of a client_id.
func short(id string) string {
	if len(id) < 20 {
		return id
	}
	return id[:8] + "…" + id[len(id)-4:]
}

var paragraph = regexp.MustCompile(`(?s)<p>(.*?)</p>`)

// said is what a page of the app says, with client ids cut short.
func said(p *app.Page) string {
	text := p.Body
	if m := paragraph.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	words := strings.Fields(app.Text(text))
	for i, word := range words {
		if strings.HasPrefix(word, "bafkrei") {
			words[i] = short(word)
		}
	}
	return strings.Join(words, " ")
}

func want(p *app.Page, status int) error {
	if p.Status != status {
		return errors.New(app.Text(p.Body))
	}
	return nil
}
