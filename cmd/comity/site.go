// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/comity-network/comity/node/admin"
)

type siteCmd struct {
	List  siteListCmd  `cmd:"" help:"List the sites that this broker has met or has a rule for."`
	Show  siteShowCmd  `cmd:"" help:"Show one site."`
	Check siteCheckCmd `cmd:"" help:"Fetch a site's metadata and say what is wrong with it."`
	Allow siteAllowCmd `cmd:"" help:"Serve this site (needed for each site with --sites listed)."`
	Deny  siteDenyCmd  `cmd:"" help:"Refuse this site: no token is minted for it any more."`
}

type siteListCmd struct{}

func (siteListCmd) Run(e *environment) error {
	var list admin.SiteList
	if err := e.node().Call(e.ctx, "/site/list", struct{}{}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Sites) == 0 {
			fmt.Fprintln(w, "no site yet: the first token that is asked for at a site makes it known")
			return
		}
		fmt.Fprintln(w, "SITE\tRULE\tLAST SEEN\tEVENTS WAITING")
		for _, s := range list.Sites {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", s.Resource, orDash(s.Policy), orDash(when(s.LastSeen)), s.Waiting)
		}
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// siteArg names the site of a command.
type siteArg struct {
	URL string `arg:"" help:"The site's resource URL, as its metadata name it."`
}

func (a siteArg) call(e *environment, path string) error {
	var s admin.Site
	if err := e.node().Call(e.ctx, path, admin.SiteName{Resource: a.URL}, &s); err != nil {
		return err
	}
	return e.print(s, func(w io.Writer) {
		row(w, "site", s.Resource)
		row(w, "rule", orDash(s.Policy))
		row(w, "last seen", orDash(when(s.LastSeen)))
		row(w, "events waiting", s.Waiting)
	})
}

type siteShowCmd struct{ siteArg }

func (c siteShowCmd) Run(e *environment) error { return c.call(e, "/site/show") }

type siteAllowCmd struct{ siteArg }

func (c siteAllowCmd) Run(e *environment) error { return c.call(e, "/site/allow") }

type siteDenyCmd struct{ siteArg }

func (c siteDenyCmd) Run(e *environment) error { return c.call(e, "/site/deny") }

type siteCheckCmd struct{ siteArg }

func (c siteCheckCmd) Run(e *environment) error {
	var check admin.SiteCheck
	if err := e.node().Call(e.ctx, "/site/check", admin.SiteName{Resource: c.URL}, &check); err != nil {
		return err
	}
	err := e.print(check, func(w io.Writer) {
		if check.OK {
			fmt.Fprintf(w, "%s is set up well for this broker\n", check.Resource)
		}
		for _, f := range check.Findings {
			fmt.Fprintln(w, f)
		}
	})
	if err == nil && !check.OK {
		return fmt.Errorf("%s cannot be served yet; see the findings", check.Resource)
	}
	return err
}
