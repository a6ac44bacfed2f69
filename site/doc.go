// SPDX-License-Identifier: Apache-2.0

// Package site protects a resource server: a program with users of its own
// that lets apps act for them. The site keeps its login and its users; brokers
// of a federation know the apps and mint the tokens. docs/site-owner.md leads
// through it step by step, docs/spec/site.md specifies what is on the wire.
//
//	s, err := site.New(ctx, site.Config{
//		Resource:   "https://photos.example",
//		Brokers:    []string{"https://broker.example"},
//		Federation: "bafkrei…",
//		Store:      db,
//		Key:        key,
//		Scopes:     map[string]string{"photos:read": "See your photos"},
//		User:       currentUser,
//		LoginURL:   "/login",
//	})
//	go s.Run(ctx)
//	mux.Handle("/comity/", s.Handler())
//	mux.Handle("/.well-known/oauth-protected-resource", s.Handler())
//	mux.Handle("/photos", s.Require("photos:read")(photos))
//
// One login: an app sends the user's browser to the site's authorization
// endpoint. The site fetches the app's registration from the broker and
// verifies it, sends the user through its login, and asks. The answer is a
// code that the site has signed, for one broker. The app redeems it there; the
// broker tells the site the hash of the token that it made, the site stores it
// and says 202, and only then the app gets the token. From then on the site
// checks the token with one lookup in its own database.
//
// A site that gives apps credentials of its own, such as OAuth 1.0a consumer
// keys, asks Site.Client before it gives them and Site.Alive at each use.
//
// # What it guarantees
//
// Nothing is redirected to an app whose registration, redirect URI and state
// were not verified here. A token is accepted only if the site acknowledged
// it, for a grant that one of its users gave and has not ended, with no wider
// scope, under the key that the grant is pinned to, by the broker that the
// code was for. What was acknowledged survives a restart; a 202 is sent after
// the commit. A stopped app is refused from the moment the site is told, and,
// if nobody tells it, max_age after the stop at the latest: a site that cannot
// prove to itself what is stopped refuses (or does what its owner chose). The
// owner's rules about apps hold wherever an app comes in and at each use.
//
// # Whom it trusts
//
// Its own database, its clock, its login (Config.User), and the federation id
// that its owner has pinned. Not its brokers: what they say is believed only
// with the signatures of the members that the charter names. A broker can be
// silent, which makes the site stale; and it can use bearer tokens that it
// mints for grants which the site gave it. It cannot make a grant, widen one,
// use one that is pinned to a DPoP key, touch another broker's tokens, or hide
// a stop.
//
// Several processes of one site may share the database; each runs Run.
package site
