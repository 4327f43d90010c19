package pages_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"homeserver/internal/matrixtest"
)

// browserTimeout bounds everything that a test does in a browser, its start included.
const browserTimeout = 2 * time.Minute

// findChromium returns the program to run. A test without one is skipped, but fails
// where CI=true promises that there is one.
func findChromium(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no Chromium to test the pages in, and CI=true: install the package chromium")
	}
	t.Skip("there is no Chromium to test the pages in: install the package chromium")
	return ""
}

// tab is a tab of a browser that runs for one test, with a profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// openTab starts a browser. The test fails in the end if a page has written a
// warning or an error to the console, or violated its policy; an answer that is an
// error is none.
func openTab(t *testing.T) *tab {
	t.Helper()
	matrixtest.Long(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, cancel := context.WithTimeout(context.Background(), browserTimeout)
	t.Cleanup(cancel)
	ctx, closeAll := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(closeAll)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithLogf(t.Logf), chromedp.WithErrorf(t.Logf))
	t.Cleanup(closeTab)
	b := &tab{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1280, 900))
	b.collect()
	return b
}

// collect gathers what goes to the console.
func (b *tab) collect() {
	console := chromedp.Console(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for message, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, fmt.Sprintf("%s %s: %s", message.Type, message.Source, message.Text))
			b.mu.Unlock()
		}
	}()
	b.t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			b.t.Logf("close the browser: %v", err)
		}
		<-done
		for _, text := range b.messages {
			if !strings.Contains(text, "the server responded with a status of 4") {
				b.t.Errorf("console: %s", text)
			}
		}
	})
}

// do runs actions, one after the other.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// click brings an element to the middle of the screen, where nothing lies over it,
// and clicks on it.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(b.clicking(selector))
}

func (b *tab) clicking(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.WaitVisible(selector),
		script(fmt.Sprintf("document.querySelector(%q).scrollIntoView({ block: 'center' })", selector)),
		chromedp.Click(selector),
	)
}

// reloadBy clicks on what loads the page again.
func (b *tab) reloadBy(selector string) {
	b.t.Helper()
	loaded := chromedp.WaitEvent(page.LoadEventFired, nil, b.clicking(selector))
	if _, err := chromedp.Run(b.ctx, loaded); err != nil {
		b.t.Fatal(err)
	}
}

// fill replaces what stands in a field, by typing.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(selector), script(fmt.Sprintf("document.querySelector(%q).select()", selector)), chromedp.SendKeys(selector, text))
}

// script runs JavaScript whose value does not matter.
func script(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](text)
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until an expression is true in the page. It looks again and again, and not
// whenever the page is drawn, which is never while another tab is in front. (chromedp.Poll
// can't, since the pages' policy forbids to make functions of text.)
func (b *tab) wait(expression string) {
	b.t.Helper()
	script := `new Promise((done) => {
		const look = () => ((` + expression + `) ? done(true) : setTimeout(look, 16));
		look();
	})`
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err != nil {
		shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("waiting for %s: %v; the page shows:\n%s", expression, err, shown)
	}
}

// waitForText waits until an element has the text in it.
func (b *tab) waitForText(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}

// prefer sets what the person who looks at the page prefers.
func (b *tab) prefer(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// popup returns the tab that the click opens. The click is made by a script, because
// the browser confirms one with the mouse only after the tab has come up.
func (b *tab) popup(selector string) *tab {
	b.t.Helper()
	opened := chromedp.WaitNewTarget(b.ctx, func(info *target.Info) bool { return info.URL != "" })
	b.do(script(fmt.Sprintf("setTimeout(() => document.querySelector(%q).click())", selector)))
	select {
	case id := <-opened:
		ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
		b.t.Cleanup(cancel)
		return &tab{t: b.t, ctx: ctx}
	case <-b.ctx.Done():
		b.t.Fatalf("%s opened nothing", selector)
		return nil
	}
}

// unreadable is JavaScript for a list of what cannot be read or used by everybody:
// text with less contrast than 4.5 to 1, fields and buttons without a name, IDs that
// are there twice, and anything wider than the screen.
const unreadable = `(() => {
	const found = [];
	const visible = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !e.closest('.unseen, .skip');
	const parse = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => {
		const [r, g, b] = parse(color).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (e) => {
		for (let at = e; at; at = at.parentElement) {
			const color = getComputedStyle(at).backgroundColor;
			if ((parse(color)[3] ?? 1) === 1) return color;
		}
		return 'rgb(255, 255, 255)';
	};
	for (const e of document.body.querySelectorAll('*')) {
		if (!visible(e) || e.disabled) continue;
		const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
		if (text || e.value) {
			const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
			const contrast = (a + 0.05) / (b + 0.05);
			if (contrast < 4.5) found.push('contrast ' + contrast.toFixed(2) + ': ' + e.outerHTML.slice(0, 120));
		}
		const name = e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && [...e.labels].map((l) => l.textContent).join());
		if (e.matches('input:not([type=hidden]), button, summary, a, [role=log]') && !name) found.push('no name: ' + e.outerHTML.slice(0, 120));
		if (e.id && document.querySelectorAll('#' + CSS.escape(e.id)).length > 1) found.push('twice: ' + e.id);
	}
	const { scrollWidth, clientWidth } = document.documentElement;
	if (scrollWidth > clientWidth) found.push('scrolls sideways: ' + scrollWidth + ' > ' + clientWidth);
	if (!document.documentElement.lang || !document.title) found.push('no language or title');
	if (document.querySelectorAll('main').length !== 1 || document.querySelectorAll('h1').length !== 1) found.push('not one main and one h1');
	return found;
})()`

// readable fails the test for what is unreadable on a wide or a narrow screen, in
// light or dark.
func (b *tab) readable() {
	b.t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		for _, width := range []int64{390, 1280} {
			b.prefer(scheme)
			b.do(chromedp.EmulateViewport(width, 900))
			for _, found := range eval[[]string](b, unreadable) {
				b.t.Errorf("%s, %d wide: %s", scheme, width, found)
			}
		}
	}
}
