// SPDX-License-Identifier: Apache-2.0

// Package main is scratch.
package main

import (
	"context"
	"fmt"
	"time"
	"encoding/json"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

func main() {
	ctx := context.Background()
	n, err := process.Start(ctx, process.Config{Binary: "/work/main/bin/comity", Dir: "/tmp/look/broker", Args: []string{"--allow-private-addresses", "--organisation", "Example University"}})
	if err != nil { panic(err) }
	s, err := site.Start(ctx, site.Config{Dir: "/tmp/look/site", Name: "Ada’s Notes", Brokers: []string{n.Issuer}, Federation: n.Ready.Federation})
	if err != nil { panic(err) }
	var a struct{ ClientID string `json:"client_id"` }
	check := func(err error) { if err != nil { panic(err) } }
	check(n.JSON(ctx, &a, "app", "register", "--name", "Reading List", "--redirect-uri", "https://reading.example/callback", "--uri", "https://reading.example/"))
	var b struct{ ClientID string `json:"client_id"` }
	check(n.JSON(ctx, &b, "app", "register", "--name", "Bad App", "--redirect-uri", "https://bad.example/callback"))
	_, err = n.Run(ctx, "app", "revoke", b.ClientID, "--reason", "malicious", "--yes"); check(err)
	c := &app.App{ClientID: a.ClientID, RedirectURI: "https://reading.example/callback"}
	t, err := c.Discover(ctx, s.API, ""); check(err)
	r := c.NewRequest(t, "notes:read notes:write", false)
	wrong := *c; wrong.RedirectURI = "https://evil.example/"
	w := wrong.NewRequest(t, "notes:read", false)
	bad := &app.App{ClientID: b.ClientID, RedirectURI: "https://bad.example/callback"}
	br := bad.NewRequest(t, "notes:read", false)
	thr := c.NewRequest(t, "notes:read", true)
	out, _ := json.Marshal(map[string]string{"site": s.Resource, "consent": r.URL, "wrong": w.URL, "bad": br.URL, "through": thr.URL, "broker": n.Issuer})
	fmt.Println(string(out))
	time.Sleep(120 * time.Second)
	n.Stop(ctx)
}
