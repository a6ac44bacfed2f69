// SPDX-License-Identifier: Apache-2.0

package guard_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/internal/guard"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		os.Setenv(name, "http://127.0.0.1:9") // nobody is there
	}
	goleak.VerifyTestMain(m)
}

// spy counts the connections to all loopback addresses on one port.
type spy struct {
	port  uint16
	count atomic.Int64
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.count.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return s
}

// sees proves that the spy is awake: it would see a connection.
func (s *spy) sees(t *testing.T, want int64) {
	t.Helper()
	if got := s.count.Load(); got != want {
		t.Errorf("the spy saw %d connections, want %d", got, want)
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.port))))
	if err != nil {
		t.Fatal(err)
	}
	c.Read(make([]byte, 1)) // until the spy closes it
	c.Close()
	if got := s.count.Load(); got != want+1 {
		t.Errorf("the spy does not see: %d", got)
	}
}

// fault 33: addresses that a foreign URL may not reach.
func TestFault33Addresses(t *testing.T) {
	spy := newSpy(t)
	names := resolverOf(map[string][]string{
		"site.local.": {"127.0.0.1"}, "rebound.example.": {"10.0.0.1"}, "localhost.": {"127.0.0.1"},
		"0x7f.1.": {"127.0.0.1"}, "2130706433.": {"127.0.0.1"},
		"mixed.example.": {"169.254.169.254"}, "metadata.google.internal.": {"169.254.169.254"},
	})
	client := guard.New(guard.Config{
		Ports: []uint16{443, spy.port}, Resolver: names, Timeout: 2 * time.Second,
		Own: []netip.Prefix{netip.MustParsePrefix("93.184.215.14/32"), netip.MustParsePrefix("2606:2800::1/128")},
	})
	defer client.CloseIdleConnections()
	port := ":" + strconv.Itoa(int(spy.port))
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0x7f.1", "2130706433", "0177.0.0.1",
		"127.1", "127.255.255.254", "0.0.0.0", "[::]", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"100.64.0.1", "169.254.169.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "255.255.255.255", "240.0.0.1", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
		"[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2001:db8::1]", "[2002:7f00:1::]", "[2001::1]", "[fec0::1]", "[::127.0.0.1]",
		"site.local", "rebound.example", "mixed.example", "metadata.google.internal",
		"93.184.215.14", "[2606:2800::1]",
	} {
		t.Run(host, func(t *testing.T) {
			refused(t, client, "https://"+host+port+"/")
		})
	}
	spy.sees(t, 0)
}

// fault 33: ports and schemes. The address is public, so that only they can
// be the reason.
func TestFault33PortsAndSchemes(t *testing.T) {
	client := guard.New(guard.Config{Timeout: 2 * time.Second})
	defer client.CloseIdleConnections()
	for _, url := range []string{
		"https://93.184.215.14:22/", "https://93.184.215.14:25/", "https://93.184.215.14:80/", "https://93.184.215.14:6379/",
		"https://93.184.215.14:11211/", "https://93.184.215.14:65535/",
		"http://93.184.215.14/", "http://127.0.0.1/", "gopher://93.184.215.14:443/", "file:///etc/passwd", "ftp://93.184.215.14/",
	} {
		t.Run(url, func(t *testing.T) { refused(t, client, url) })
	}
}

func refused(t *testing.T, client *http.Client, url string) {
	t.Helper()
	_, err := client.Post(url, "text/plain", strings.NewReader("secret"))
	var unknown *net.DNSError // other spellings of numbers are no names
	if !errors.Is(err, guard.ErrRefused) && !(errors.As(err, &unknown) && unknown.IsNotFound) {
		t.Errorf("error is %v", err)
	}
}

// In development, local addresses are open and only they are for http.
func TestAllowPrivate(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{}`)) }))
	defer site.Close()
	secure := httptest.NewTLSServer(site.Config.Handler)
	defer secure.Close()
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := guard.New(guard.Config{AllowPrivate: true, Roots: roots, Timeout: 2 * time.Second})
	defer client.CloseIdleConnections()
	for _, url := range []string{site.URL, secure.URL} {
		if body, _, err := guard.Fetch(t.Context(), client, url, 10); err != nil || string(body) != `{}` {
			t.Errorf("%s: %q, %v", url, body, err)
		}
	}
	for _, url := range []string{
		"http://93.184.215.14/", "http://[2606:2800::1]/", "http://169.254.169.254/", "https://169.254.169.254/",
		"http://[fd00:ec2::254]/", "https://[fd00:ec2::254]/", "http://[fe80::1]/", "https://224.0.0.1/", "http://0.0.0.0/",
	} {
		t.Run(url, func(t *testing.T) { refused(t, client, url) })
	}
	// fault 43: another certificate is another origin.
	other := guard.New(guard.Config{AllowPrivate: true})
	defer other.CloseIdleConnections()
	if _, _, err := guard.Fetch(t.Context(), other, secure.URL, 10); err == nil {
		t.Error("a certificate of an unknown root was accepted")
	}
}

// fault 34: a name that was public when somebody looked, and is loopback when
// it is dialled.
func TestFault34Rebinding(t *testing.T) {
	spy := newSpy(t)
	names := resolverOf(map[string][]string{"turncoat.example.": {"93.184.215.14", "127.0.0.1"}})
	look, err := names.LookupNetIP(t.Context(), "ip4", "turncoat.example")
	if err != nil || len(look) != 1 || look[0].String() != "93.184.215.14" {
		t.Fatalf("first look: %v, %v", look, err)
	}
	client := guard.New(guard.Config{Ports: []uint16{spy.port}, Resolver: names, Timeout: 2 * time.Second})
	defer client.CloseIdleConnections()
	refused(t, client, "https://turncoat.example:"+strconv.Itoa(int(spy.port)))
	spy.sees(t, 0)
}

// fault 35: no redirect is followed, wherever it leads.
func TestFault35Redirects(t *testing.T) {
	var inside atomic.Int64
	internal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inside.Add(1) }))
	defer internal.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/same" {
			inside.Add(1)
			return
		}
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		http.Redirect(w, r, r.URL.Query().Get("to"), code)
	}))
	defer site.Close()
	client := guard.New(guard.Config{AllowPrivate: true, Timeout: 2 * time.Second})
	defer client.CloseIdleConnections()
	for _, code := range []string{"301", "302", "303", "307", "308"} {
		for _, to := range []string{internal.URL, "/same", "http://169.254.169.254/", "gopher://x/"} {
			t.Run(code+" "+to, func(t *testing.T) {
				u := site.URL + "/?code=" + code + "&to=" + to
				if _, err := client.Post(u, "text/plain", strings.NewReader("x")); !errors.Is(err, guard.ErrRedirect) {
					t.Errorf("POST: error is %v", err)
				}
				if _, _, err := guard.Fetch(t.Context(), client, u, 10); !errors.Is(err, guard.ErrRedirect) {
					t.Errorf("GET: error is %v", err)
				}
			})
		}
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// No environment variable leads requests through a proxy. TestMain has set
// them: what asks for a proxy remembers the first answer.
func TestNoProxy(t *testing.T) {
	client := guard.New(guard.Config{AllowPrivate: true, Timeout: 2 * time.Second})
	for _, url := range []string{"http://169.254.169.254/", "https://169.254.169.254/"} {
		if _, err := client.Get(url); !errors.Is(err, guard.ErrRefused) {
			t.Errorf("%s: error is %v", url, err)
		}
	}
}

func TestOwnAddresses(t *testing.T) {
	own, err := guard.OwnAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range own {
		if p.Addr().String() == "127.0.0.1" && p.Bits() == 32 {
			return
		}
	}
	t.Errorf("no loopback address among %v", own)
}
