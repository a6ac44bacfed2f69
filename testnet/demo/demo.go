// SPDX-License-Identifier: Apache-2.0

// Package demo tells the story of Comity on one machine, in real time: a
// broker that is a child process of this binary, two sites and an app that
// speak HTTP and nothing else, and a user's browser. The app is registered
// once; its user logs in at the first site, in eleven steps, and at the second;
// the operator revokes the app on the command line; each site refuses it by
// itself.
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

// Config says how the story is told. Only Binary is required.
type Config struct {
	Binary string     // the comity binary
	Report func(Step) // called after each step
	Log    io.Writer  // gets what the broker and the sites log
}

// stage is what the story is played on.
type stage struct {
	*story
	cfg    Config
	dir    string
	broker *process.Node
	sites  [2]*site.Site
	app    *appServer
	user   *app.Browser
	logins [2]*session // of the app, at each site
}

// Run tells the story. It always returns a Result: one that is not OK ends
// with the step that failed.
func Run(ctx context.Context, cfg Config) *Result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := &stage{story: &story{ctx: ctx, report: cfg.Report}, cfg: cfg, user: app.NewBrowser(nil)}
	func() {
		defer s.clear()
		s.setUp()
		s.firstLogin()
		s.secondLogin()
		s.stop()
		s.takeDown()
	}()
	s.result.OK = s.err == nil
	return &s.result
}

// setUp starts the parties.
func (s *stage) setUp() {
	s.chapter = "The parties: a broker, two sites, an app"
	s.step("the broker starts", func() (string, error) {
		var err error
		if s.dir, err = os.MkdirTemp("", "comity-demo-"); err != nil {
			return "", err
		}
		s.broker, err = process.Start(s.ctx, process.Config{
			Binary: s.cfg.Binary, Dir: filepath.Join(s.dir, "broker"),
			Args: []string{"--allow-private-addresses", "--organisation", "Demo Broker"}, Log: s.cfg.Log,
		})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, process %d, a federation of its own", s.broker.Issuer, s.broker.PID()), nil
	})
	s.step("two sites start", func() (string, error) {
		for i, name := range []string{"Notebook", "Diary"} {
			var err error
			if s.sites[i], err = s.startSite(name); err != nil {
				return "", err
			}
		}
		return s.sites[0].Resource + " and " + s.sites[1].Resource, nil
	})
	s.step("the app is registered, once", func() (string, error) {
		var err error
		if s.app, err = newAppServer(); err != nil {
			return "", err
		}
		return s.register()
	})
}

func (s *stage) startSite(name string) (*site.Site, error) {
	log := slog.New(slog.DiscardHandler)
	if s.cfg.Log != nil {
		log = slog.New(slog.NewJSONHandler(s.cfg.Log, nil)).With("site", name)
	}
	return site.Start(s.ctx, site.Config{
		Dir: filepath.Join(s.dir, strings.ToLower(name)), Name: name,
		Brokers: []string{s.broker.Issuer}, Federation: s.broker.Ready.Federation, Log: log,
	})
}

// register registers the app with the command line, with a key of its own.
func (s *stage) register() (string, error) {
	var registered struct {
		ClientID string `json:"client_id"`
		Index    int64  `json:"index"`
	}
	keyFile := filepath.Join(s.dir, "app.jwk")
	err := s.broker.JSON(s.ctx, &registered, "app", "register", "--name", appName,
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
	return fmt.Sprintf("client %s, entry %d of the broker's log", short(client.ClientID), registered.Index), err
}

// secondLogin does at the other site what firstLogin did, in two steps.
func (s *stage) secondLogin() {
	s.chapter = "The same registration at another site"
	s.step("the user logs in at the second site", func() (string, error) {
		page, err := s.toSite(s.sites[1])
		if err != nil {
			return "", err
		}
		if page, err = s.consent(page); err != nil {
			return "", err
		}
		if page, err = s.user.Open(s.ctx, page.URL); err != nil {
			return "", err
		}
		s.logins[1] = s.app.newest()
		return "app: " + said(page), want(page, http.StatusOK)
	})
	s.step("the app calls the second site", func() (string, error) {
		page, err := s.user.Open(s.ctx, s.app.url+"/notes")
		if err != nil {
			return "", err
		}
		return "site: " + said(page), want(page, http.StatusOK)
	})
}

// takeDown stops everything in order.
func (s *stage) takeDown() {
	s.chapter = "The end"
	s.step("the broker stops", func() (string, error) {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		_, err := s.broker.Stop(ctx)
		return "in order; its directory is removed, nothing is left", err
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
	if s.broker != nil {
		s.broker.Kill()
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
