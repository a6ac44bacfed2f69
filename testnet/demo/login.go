// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"net/http"
	"time"

	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

// firstLogin is the login in the eleven steps of its oldest description.
func (s *stage) firstLogin() {
	s.chapter, s.number = "A login, in eleven steps", 1
	defer func() { s.number = 0 }()
	var page *app.Page
	s.step("the user opens the app", func() (string, error) {
		var err error
		if page, err = s.user.Open(s.ctx, s.app.url+"/"); err != nil {
			return "", err
		}
		return s.app.url, want(page, http.StatusOK)
	})
	s.step("the app asks for the user's site", func() (string, error) {
		return "app: " + said(page) + "  user: at " + s.sites[0].Resource, nil
	})
	s.step("the app sends the user there", func() (string, error) {
		var err error
		if page, err = s.toSite(s.sites[0]); err != nil {
			return "", err
		}
		return "with its client_id, redirect URI and PKCE challenge", want(page, http.StatusOK)
	})
	s.step("the user logs in at the site", func() (string, error) {
		var err error
		page, err = s.user.Submit(s.ctx, page, "Log in", map[string]string{"name": "ada", "password": "lovelace"})
		if err != nil {
			return "", err
		}
		return "site: may “" + appName + "” read your notes?", want(page, http.StatusOK)
	})
	s.step("the site sends the browser back with a code", func() (string, error) {
		var err error
		if page, err = s.consent(page); err != nil {
			return "", err
		}
		return "signed by the site, for this broker and this app, good for 60 s", nil
	})
	s.redeem(page)
	s.step("the app calls the site with it", func() (string, error) {
		page, err := s.user.Open(s.ctx, s.app.url+"/notes")
		if err != nil {
			return "", err
		}
		return "site: " + said(page), want(page, http.StatusOK)
	})
}

// toSite names the site to the app, and goes where the app sends the browser.
func (s *stage) toSite(to *site.Site) (*app.Page, error) {
	page, err := s.user.Open(s.ctx, s.app.url+"/")
	if err != nil {
		return nil, err
	}
	return s.user.Submit(s.ctx, page, "Connect", map[string]string{"site": to.Resource})
}

// consent logs in where that is asked for, and lets the app in. The browser
// then stands before the app, with the code.
func (s *stage) consent(page *app.Page) (*app.Page, error) {
	for _, f := range page.Forms {
		if len(f.Buttons) == 1 && f.Buttons[0].Label == "Log in" {
			var err error
			page, err = s.user.Submit(s.ctx, page, "Log in", map[string]string{"name": "ada", "password": "lovelace"})
			if err != nil {
				return nil, err
			}
		}
	}
	s.user.StopAt = s.app.client.RedirectURI
	page, err := s.user.Submit(s.ctx, page, "decision=allow", nil)
	s.user.StopAt = ""
	if err == nil && !page.Stopped {
		err = fmt.Errorf("the site does not send the browser back: %s", app.Text(page.Body))
	}
	return page, err
}

// redeem opens the app with the code. What the app, the broker and the site
// then do among themselves is told from what app and site have seen of it.
func (s *stage) redeem(back *app.Page) {
	if s.err != nil {
		return
	}
	began := time.Now()
	page, err := s.user.Open(s.ctx, back.URL)
	if err == nil {
		err = want(page, http.StatusOK)
	}
	var push site.Push
	if err == nil {
		push, err = s.sites[0].Pushes.Wait(s.ctx, site.Accepted(protocol.EventTokenIssued))
	}
	if err != nil {
		s.step("the app takes the code to the broker", func() (string, error) { return "", err })
		return
	}
	session := s.app.newest()
	s.logins = append(s.logins, login{"the first site", session})
	tokens, times := session.tokens, s.app.redeemed
	issued := push.Event.TokenIssued
	s.tell("the app takes the code to the broker", times.asked.Sub(began), "with the PKCE verifier and an assertion signed by its own key")
	s.tell("the broker generates a token", push.Arrived.Sub(times.asked), "pending: nobody has it yet")
	s.tell("the broker tells the site", push.Stored.Sub(push.Arrived),
		fmt.Sprintf("broker: I just generated this token, it expires in %d s", issued.ExpiresAt-push.Event.IssuedAt))
	s.tell("the site says ok", push.Answered.Sub(push.Stored), fmt.Sprintf("site: %d, it is on my disk", push.Status))
	s.tell("the broker answers the app with the token", times.answered.Sub(push.Answered),
		fmt.Sprintf("%s, expires in %d s, with a refresh token", tokens.TokenType, tokens.ExpiresIn))
}
