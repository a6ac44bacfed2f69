// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
)

// floodEnv makes the test binary the attacker of TestFault59Flood.
const floodEnv = "COMITY_FLOOD_VICTIM"

func TestMain(m *testing.M) {
	if victim := os.Getenv(floodEnv); victim != "" {
		if err := flood(victim); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fault 59: from 200 addresses come handshakes that never go on, from 200 more
// peers of nobody, one of which opens ten thousand streams. Limits by address
// are not for loopback, so the attacker is in a network namespace of its own.
func TestFault59Flood(t *testing.T) {
	subnet := fmt.Sprintf("10.%d.%d", 200+os.Getpid()%50, os.Getpid()/50%250)
	c := newCluster(t, 3, time.Now)
	c.configure = func(_ *clusterNode, config *federation.NetworkConfig) {
		config.Listen = []string{"/ip4/" + subnet + ".1/tcp/0", "/ip4/" + subnet + ".1/udp/0/quic-v1"}
		config.AllowPrivate = true
	}
	t.Cleanup(c.close)
	attacker := newAttacker(t, subnet)
	victim, member, late := c.nodes[0], c.nodes[1], c.nodes[2]
	for _, n := range c.nodes {
		n.listen()
	}
	introduce(t, c.nodes...)
	victim.run()
	member.run()
	c.until(5*time.Second, "the members are connected", func() bool { return meshed(c.nodes[:2]) })
	before := heap()

	attacker.start(victim)
	c.until(20*time.Second, "the flood is there", func() bool { return victim.Conns() > 16 })
	for range 3 {
		member.register("App")
		took := c.until(3*time.Second, "records still arrive", func() bool { return same(c.nodes[:2]) })
		t.Logf("in the flood a record took %v; %d connections, %d goroutines", took, victim.Conns(), runtime.NumGoroutine())
		if !meshed(c.nodes[:2]) {
			t.Error("the flood disconnected the member")
		}
		time.Sleep(500 * time.Millisecond)
	}
	late.run()
	took := c.until(10*time.Second, "another member comes in", func() bool { return meshed(c.nodes) && same(c.nodes) })
	t.Logf("in the flood a member came in after %v", took)
	if n := victim.Conns(); n > federation.MaxStrangers+8 {
		t.Errorf("%d connections", n)
	}
	if grown := heap() - before; grown > 128<<20 {
		t.Errorf("the flood costs %d MiB", grown>>20)
	}
	t.Log(attacker.stop())
	c.until(10*time.Second, "the strangers are gone", func() bool { return victim.Conns() <= 8 })
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// attacker is a process in a network namespace of its own, with 250 addresses.
type attacker struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  interface{ Write([]byte) (int, error) }
	close  func() error
	lines  *bufio.Scanner
	subnet string
}

func newAttacker(t *testing.T, subnet string) *attacker {
	t.Helper()
	a := &attacker{t: t, subnet: subnet, cmd: exec.Command(os.Args[0])}
	a.cmd.Env = append(os.Environ(), floodEnv+"="+subnet, "GOMAXPROCS=1")
	a.cmd.Stderr = os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stdin, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.stdin, a.close, a.lines = stdin, stdin.Close, bufio.NewScanner(stdout)
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	if err := a.cmd.Start(); err != nil {
		t.Fatalf("a network namespace needs the rights of root: %v", err)
	}
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
	})
	link := fmt.Sprintf("cm%d", os.Getpid())
	ip(t, "link add %sa type veth peer name %sb netns %d", link, link, a.cmd.Process.Pid)
	ip(t, "addr add %s.1/24 dev %sa", subnet, link)
	ip(t, "link set %sa up", link)
	a.say(link + "b")
	a.hears("ready")
	return a
}

func ip(t *testing.T, format string, args ...any) {
	t.Helper()
	command := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, out)
	}
}

func (a *attacker) say(line string) {
	if _, err := a.stdin.Write([]byte(line + "\n")); err != nil {
		a.t.Fatal(err)
	}
}

func (a *attacker) hears(want string) string {
	a.t.Helper()
	if !a.lines.Scan() {
		a.t.Fatal("the attacker died")
	}
	if !strings.HasPrefix(a.lines.Text(), want) {
		a.t.Fatalf("the attacker says %q", a.lines.Text())
	}
	return a.lines.Text()
}

func (a *attacker) start(n *clusterNode) {
	a.say(strings.Join(append([]string{n.peerID}, n.Addresses()...), " "))
	a.hears("begin")
}

func (a *attacker) stop() string {
	_ = a.close()
	return a.hears("did")
}

// flood is the attacker's program: it is told its interface and whom to attack,
// and goes on until its standard input ends.
func flood(subnet string) error {
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	device := in.Text()
	for _, command := range []string{"link set lo up", "link set " + device + " up"} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	for i := 2; i < 252; i++ {
		if out, err := exec.Command("ip", "addr", "add", fmt.Sprintf("%s.%d/24", subnet, i), "dev", device).CombinedOutput(); err != nil {
			return fmt.Errorf("ip addr add: %w: %s", err, out)
		}
	}
	fmt.Println("ready")
	in.Scan()
	words := strings.Fields(in.Text())
	fmt.Println("begin")
	id, err := peer.Decode(words[0])
	if err != nil {
		return err
	}
	f := &flooder{subnet: subnet, victim: peer.AddrInfo{ID: id}}
	for _, w := range words[1:] {
		f.victim.Addrs = append(f.victim.Addrs, ma.StringCast(w))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { f.halfOpen(ctx) })
	working.Go(func() { f.strangers(ctx) })
	for in.Scan() {
	}
	cancel()
	working.Wait()
	fmt.Printf("did %d half-open connections, %d peers, %d streams\n", f.dialled.Load(), f.peers.Load(), f.streams.Load())
	return nil
}

type flooder struct {
	subnet                  string
	victim                  peer.AddrInfo
	dialled, peers, streams atomic.Int64
}

// tcp is the victim's address for TCP.
func (f *flooder) tcp() string {
	for _, a := range f.victim.Addrs {
		if port, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			host, _ := a.ValueForProtocol(ma.P_IP4)
			return net.JoinHostPort(host, port)
		}
	}
	return ""
}

// halfOpen opens connections from many addresses and never says a word.
func (f *flooder) halfOpen(ctx context.Context) {
	var open []net.Conn
	for i := 0; ctx.Err() == nil; i++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("%s.%d", f.subnet, 50+i%200))}, Timeout: time.Second}
		c, err := d.DialContext(ctx, "tcp", f.tcp())
		if err == nil {
			f.dialled.Add(1)
			open = append(open, c)
		}
		if len(open) > 4000 {
			_ = open[0].Close()
			open = open[1:]
		}
		if i%20 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	for _, c := range open {
		_ = c.Close()
	}
}

// strangers connects peers of nobody from many addresses; one of them opens as
// many streams as it can.
func (f *flooder) strangers(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	for i := 0; i < 200 && ctx.Err() == nil; i++ {
		h, err := libp2p.New(libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s.%d/udp/0/quic-v1", f.subnet, 2+i%48)),
			libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			continue
		}
		defer h.Close()
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		err = h.Connect(short, f.victim)
		cancel()
		if err != nil {
			continue
		}
		f.peers.Add(1)
		if i == 0 {
			working.Go(func() { f.open(ctx, h) })
		}
	}
	<-ctx.Done()
}

func (f *flooder) open(ctx context.Context, h host.Host) {
	for range 10_000 {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		s, err := h.NewStream(network.WithNoDial(short, "no"), f.victim.ID, federation.HeadsProtocol)
		if err == nil {
			_, err = s.Write([]byte{0, 0, 1, 0}) // the beginning of a frame
		}
		if err == nil {
			f.streams.Add(1)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}
