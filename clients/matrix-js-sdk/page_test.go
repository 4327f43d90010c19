//go:build jssdk

package matrixjssdk

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserTimeout bounds all that a test does in a browser.
const browserTimeout = 2 * time.Minute

// servePage serves the page of app.js, and returns its address. To browsers it is another site than the server, which is
// at 127.0.0.1.
func servePage(t *testing.T) string {
	t.Helper()
	const bundle = "dist/app.js"
	if _, err := os.Stat(bundle); err != nil {
		t.Fatalf("%v: make test-js-sdk builds it", err)
	}
	files := http.NewServeMux()
	for path, file := range map[string]string{
		"/{$}":    "index.html",
		"/app.js": bundle,
		"/pkg/":   "node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg",
	} {
		if strings.HasSuffix(path, "/") {
			files.Handle(path, http.StripPrefix(path, http.FileServer(http.Dir(file))))
			continue
		}
		files.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	page := httptest.NewServer(files)
	t.Cleanup(page.Close)
	return strings.Replace(page.URL, "127.0.0.1", "localhost", 1) + "/"
}

// tab is a tab of a browser that runs for one test, with a profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openTab starts a browser. What pages have written to the console is in the output of a test that has failed.
func openTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findChromium(t)), chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserTimeout)
	t.Cleanup(cancel)
	ctx, closeAll := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(closeAll)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithLogf(t.Logf), chromedp.WithErrorf(t.Logf))
	t.Cleanup(closeTab)
	b := &tab{t, ctx}
	b.do(chromedp.EmulateViewport(1280, 900))
	b.collect()
	return b
}

func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: install the package chromium")
	return ""
}

// collect gathers what goes to the console.
func (b *tab) collect() {
	var (
		console  = chromedp.Console(b.ctx)
		messages []string
		done     sync.WaitGroup
	)
	done.Go(func() {
		for message, err := range console {
			if err != nil {
				return
			}
			messages = append(messages, fmt.Sprintf("%s %s: %.1000s", message.Type, message.Source, message.Text))
		}
	})
	b.t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			b.t.Logf("close the browser: %v", err)
		}
		done.Wait()
		if b.t.Failed() {
			b.t.Logf("the console:\n%s", strings.Join(messages, "\n"))
		}
	})
}

// do runs actions, one after the other.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v; the page shows:\n%s", err, b.shown())
	}
}

func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)", selector))
	b.do(chromedp.Click(selector))
}

// fill types into a field that is empty.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(selector), chromedp.SendKeys(selector, text))
}

// wait waits until an expression is true in the page that the browser shows then.
func (b *tab) wait(expression string) {
	b.t.Helper()
	script := `new Promise((done) => {
		const look = () => ((` + expression + `) ? done(true) : setTimeout(look, 16));
		look();
	})`
	for b.ctx.Err() == nil {
		// The browser may go to another page while this waits.
		_, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "context") && !strings.Contains(err.Error(), "navigated") {
			b.t.Fatalf("waiting for %s: %v", expression, err)
		}
	}
	b.t.Fatalf("waiting for %s took too long; the page shows:\n%s", expression, b.shown())
}

// waitForText waits until an element has the text in it.
func (b *tab) waitForText(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}

// text returns the text of an element.
func (b *tab) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).textContent", selector)))
	if err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	return text
}

// texts returns the texts of all elements of a kind.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	texts, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.textContent)", selector)))
	if err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	return texts
}

// shown returns what the page shows, for people who read why a test has failed; after browserTimeout nothing.
func (b *tab) shown() string {
	shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	return shown
}
