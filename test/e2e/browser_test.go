package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"testing"
)

// TestBrowser runs the scenarios of js/ with the browser bundles of
// @microsoft/signalr in headless Chromium. The harness serves the page and
// passes the hub's traffic on, so page and hub have one origin.
func TestBrowser(t *testing.T) {
	browser := needBrowser(t)
	eachTransport(t, func(t *testing.T, transport, protocol string) {
		h := startHarness(t, startServer(t))
		browse(t, browser, h, url.Values{"protocol": {protocol}, "transport": {transport}, "only": {only()}})
	})
}

// TestBrowserCrossOrigin is the same for a page of another origin than the hub's:
// the browser asks the hub whether the page may.
func TestBrowserCrossOrigin(t *testing.T) {
	browser := needBrowser(t)
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		t.Run(transport, func(t *testing.T) {
			s := startServer(t)
			h := startHarness(t, s)
			browse(t, browser, h, url.Values{"protocol": {"json"}, "transport": {transport}, "hub": {s.url.String()}, "only": {"^(connect.negotiated|connect.user|invoke)"}})
		})
	}
}

// needBrowser skips the test where Chromium is missing.
func needBrowser(t *testing.T) string {
	t.Helper()
	browser := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if browser == "" {
			browser, _ = exec.LookPath(name)
		}
	}
	if browser == "" {
		t.Skip("chromium is not installed")
	}
	needPackages(t)
	return browser
}

// browse runs scenarios in a page of h, with a query that says which.
func browse(t *testing.T, browser string, h *harness, query url.Values) {
	visit(t, browser, h.URL+"/js/page.html?"+query.Encode(), h.reports)
}

// visit opens a page and follows its reports.
func visit(t *testing.T, browser, page string, reports <-chan report) {
	args := []string{
		"--headless", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--remote-debugging-port=0", // keeps a headless browser open
		"--user-data-dir=" + t.TempDir(),
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // the sandbox refuses to run as root
	}
	c := &child{cmd: exec.Command(browser, append(args, page)...), ended: make(chan struct{})}
	c.cmd.Stderr = &c.log
	c.start(t)
	go func() { // ends when the browser is killed
		defer close(c.ended)
		c.err = c.cmd.Wait()
	}()
	follow(t, reports, c.ended, c.why)
}
