package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// process is a server in a process of its own.
type process struct {
	cmd     *exec.Cmd
	log     string // the file with what it logs
	address string // host:port for clients
	metrics string // the URL of its figures
	ended   chan struct{}
	// startup is how long it took from its start to its first answer.
	startup time.Duration
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// announced finds in what a server says at its start where it is.
var announced = struct{ address, metrics *regexp.Regexp }{
	regexp.MustCompile(`(?m)^  http://(\S+)$`), regexp.MustCompile(`(?m)^  (http://\S+/metrics) `),
}

// launch starts a server with some settings, and returns at its first answer.
func launch(ctx context.Context, o Options, log string, settings map[string]string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of the server: %w", err)
	}
	defer func() { _ = file.Close() }() // the server has it
	p := &process{log: log, ended: make(chan struct{})}
	// Not bound to the context, which would kill it before it could stop its PostgreSQL.
	p.cmd = exec.Command(o.Program[0], append(o.Program[1:], "serve")...) //nolint:gosec,noctx // the operator names it; see above
	p.cmd.Env = append([]string{}, o.Environ...)
	for name, value := range settings {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stderr = file
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	started := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := p.await(ctx, output); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w: %s", err, p.lastWords())
	}
	p.startup = time.Since(started)
	return p, nil
}

// await reads where the server is, and gets its first answer.
func (p *process) await(ctx context.Context, output io.Reader) error {
	reader := bufio.NewReader(output)
	var text strings.Builder
	for announced.metrics.FindString(text.String()) == "" {
		line, err := reader.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			go p.reap(reader)
			return fmt.Errorf("the server has not started (%w)", err)
		}
	}
	go p.reap(reader)
	address := announced.address.FindStringSubmatch(text.String())
	if address == nil {
		return fmt.Errorf("the server does not say where it is: %q", text.String())
	}
	p.address, p.metrics = address[1], announced.metrics.FindStringSubmatch(text.String())[1]
	c, err := dial(ctx, p.address, "")
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.do(http.MethodGet, "/_matrix/client/versions", "")
	return err
}

// reap reads the rest of the output, and notes the end of the process.
func (p *process) reap(output io.Reader) {
	_, _ = io.Copy(io.Discard, output) // to its end, whatever that is
	_ = p.cmd.Wait()                   // how it ended shows in its log
	close(p.ended)
}

// stop ends the server in good order, and returns when it has ended.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	<-p.ended
}

// lastWords returns the end of what the server has logged.
func (p *process) lastWords() string {
	const most = 1000
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(content[max(0, len(content)-most):]))
}

// waiting returns how many requests the server is answering, by its own figures.
func (p *process) waiting(ctx context.Context) (int, error) {
	n, err := p.figures(ctx, "homeserver_http_requests_in_flight")
	return int(n), err
}

// inUse collects the server's garbage, and returns how much memory its Go runtime uses then.
func (p *process) inUse(ctx context.Context) (float64, error) {
	for range collections {
		if _, err := get(ctx, p.profiles()+"heap?gc=1"); err != nil {
			return 0, fmt.Errorf("collect the garbage of the server: %w", err)
		}
	}
	return p.figures(ctx, "go_memstats_heap_inuse_bytes", "go_memstats_stack_inuse_bytes")
}

// profiles is the URL of the folder of profiles.
func (p *process) profiles() string {
	return strings.TrimSuffix(p.metrics, "/metrics") + "/debug/pprof/"
}

// figures returns the sum of some figures of the server.
func (p *process) figures(ctx context.Context, names ...string) (sum float64, err error) {
	page, err := get(ctx, p.metrics)
	if err != nil {
		return 0, fmt.Errorf("read the figures of the server: %w", err)
	}
	for _, name := range names {
		var n float64
		_, rest, _ := strings.Cut(string(page), "\n"+name+" ")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			return 0, fmt.Errorf("the server does not tell its %s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

// get returns what a URL of the operator's listener has.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return content, err
}
