// SPDX-License-Identifier: Apache-2.0

//go:build mixed

package testnet_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
)

// first is the binary of the first version that can federate: .ci/mixed builds
// it and runs this test.
var first = os.Getenv("COMITY_FIRST")

// TestMixedVersions: members are not updated all at once. Whichever of them
// runs which version, they federate, admit, log in and stop; and what one of
// them does not know in a record reaches the next untouched. fault 73
func TestMixedVersions(t *testing.T) {
	if first == "" {
		t.Fatal("COMITY_FIRST does not name the binary of the first version: run .ci/mixed")
	}
	today := binary
	binary = first
	c := newCluster(t)
	binary = today
	old := c.register("Old", "private_key_jwt")
	atB := c.at(1).site("at-b", nil)
	before := c.loginBy(1, old, atB)
	c.update(0, today)

	future := filepath.Join(c.dir, "future.json")
	if err := os.WriteFile(future, []byte(`{"x_new":{"a":[1,2.50],"b":"é"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	young := c.register("Young", "private_key_jwt", "--from", future)
	c.loginBy(1, young, atB)
	atC := c.at(2).site("at-c", nil)
	c.loginBy(2, young, atC)

	joining, err := process.Start(c.ctx, process.Config{
		Binary: today, Dir: filepath.Join(c.dir, "broker-d"), Args: []string{"--allow-private-addresses", "--join", c.all[1].Issuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(joining.Kill)
	asked := process.Federation{c.all[1], c.all[0], c.all[2]} // whoever was asked has the request
	if _, err := asked.Admit(c.ctx, joining); err != nil {
		t.Fatal(err)
	}
	c.all = append(c.all, joining)
	c.agree()
	c.known(3, young)
	for i := range c.all {
		record, err := registry.ParseRecord([]byte(c.registration(i, young)))
		if err != nil || record.CID != young.ClientID || string(record.Registration.Extra["x_new"]) != `{"a":[1,2.50],"b":"é"}` {
			t.Errorf("broker %c has something else than its home: %+v, %v", 'A'+i, record, err)
		}
	}

	c.stop(0, 4, "revoke", "--yes", young.ClientID, "--reason", "malicious")
	c.stopped(young, "malicious")
	c.stop(1, 4, "suspend", "--for", "1h", old.ClientID, "--reason", "compromised")
	c.stopped(old, "compromised")
	c.refuses(old, before.target, before.tokens)

	c.update(2, today)
	c.update(1, today)
	c.stopped(young, "malicious")
	c.stopped(old, "compromised")
	c.loginBy(1, c.register("Last", "none"), atB)
}

// registration is the signed registration of a that a broker publishes.
func (c *cluster) registration(i int, a *app.App) string {
	c.Helper()
	res, err := http.Get(c.all[i].Issuer + "/federation/clients/" + a.ClientID)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	var shown struct {
		Registration string `json:"registration"`
	}
	if err := json.NewDecoder(res.Body).Decode(&shown); err != nil {
		c.Fatal(err)
	}
	return shown.Registration
}

// update has a broker run another version from now on.
func (c *cluster) update(i int, version string) {
	c.Helper()
	if _, err := c.all[i].Stop(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.all[i].Binary = version
	c.start(i)
	c.agree()
}
