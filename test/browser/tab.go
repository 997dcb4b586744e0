// Package browser looks at the web tier's pages with a real browser: what a person sees must be
// what the database holds, on a telephone and a desk, in light and dark, with a keyboard or a
// screen reader. Its own tests look at the pages alone, in all their states; others look with it at
// the pages of a platform that runs. It knows nothing of AWS.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/chromium"
)

const (
	modules     = "../../node_modules"
	screenshots = "../../.local/screenshots"
	// patience of the whole test with the browser.
	patience = 3 * time.Minute
)

// Tab is a browser's tab and all that its console said.
type Tab struct {
	context.Context
	lock     sync.Mutex
	messages []chromedp.ConsoleMessage
	ended    chan struct{}
}

const lastWords = "the test has ended"

// NewTab opens a browser that ends with the test.
func NewTab(t *testing.T) *Tab {
	t.Helper()
	browser, err := chromium.Find(modules)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser.Path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Env(browser.Environment...), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	return open(t, ctx)
}

// Beside opens another tab of the same browser, which shares what the browser keeps.
func (b *Tab) Beside(t *testing.T) *Tab {
	t.Helper()
	return open(t, b.Context)
}

func open(t *testing.T, browser context.Context) *Tab {
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	opened := &Tab{Context: ctx, ended: make(chan struct{})}
	console := chromedp.Console(ctx)
	go func() {
		defer close(opened.ended)
		for message, err := range console {
			if err != nil || message.Text == lastWords {
				return
			}
			opened.lock.Lock()
			opened.messages = append(opened.messages, message)
			opened.lock.Unlock()
		}
	}()
	return opened
}

// Quiet checks that no page had an error, a warning or a violation of its security policy, but for
// the texts that are named.
func (b *Tab) Quiet(t *testing.T, but ...string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.Evaluate[chromedp.Void](`console.log("`+lastWords+`")`)))
	<-b.ended
	b.lock.Lock()
	defer b.lock.Unlock()
	assert.Empty(t, slices.DeleteFunc(b.messages, func(m chromedp.ConsoleMessage) bool {
		return slices.Contains(but, m.Text)
	}))
}

// Until waits for words on the console.
func (b *Tab) Until(t *testing.T, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.lock.Lock()
		defer b.lock.Unlock()
		return slices.ContainsFunc(b.messages, func(m chromedp.ConsoleMessage) bool {
			return strings.Contains(m.Text, words)
		})
	}, 10*time.Second, 20*time.Millisecond)
}

// Visit an address.
func (b *Tab) Visit(t *testing.T, address string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.Navigate(address)), address)
}

// Within waits until a condition holds in the page.
func (b *Tab) Within(t *testing.T, longest time.Duration, condition string) {
	t.Helper()
	script := fmt.Sprintf(`new Promise((done) => {
		const begun = performance.now();
		const look = () => {
			let holds = false;
			try { holds = Boolean(%s); } catch { }
			if (holds || performance.now() - begun > %d) done(holds);
			else setTimeout(look, 10);
		};
		look();
	})`, condition, longest.Milliseconds())
	holds, err := chromedp.Run(b, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
	require.NoError(t, err, condition)
	require.True(t, holds, "within %s: %s\nthe page: %s", longest, condition,
		Value[string](t, b, `document.querySelector("main").innerText.slice(0, 3000)`))
}

// Click an element as a person does.
func (b *Tab) Click(t *testing.T, selector string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.Click(selector)), selector)
}

// Value of a script in the page.
func Value[T any](t *testing.T, b *Tab, script string) T {
	t.Helper()
	result, err := chromedp.Run(b, chromedp.Evaluate[T](script))
	require.NoError(t, err, script)
	return result
}

// Press keys.
func Press(t *testing.T, b *Tab, keys string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.KeyEvent(keys)))
}

// Look of the screen: its width, and light or dark.
func (b *Tab) Look(t *testing.T, width int64, scheme string) {
	t.Helper()
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(b, chromedp.EmulateViewport(width, 900)))
}

// Shoot a picture of the whole page.
func (b *Tab) Shoot(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(screenshots, 0o755))
	image, err := chromedp.Run(b, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(screenshots, name+".png"), image, 0o644))
}

// Picture of the page's beginning, in a file.
func (b *Tab) Picture(t *testing.T, file string, width, height int64) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.EmulateViewport(width, height)))
	image, err := chromedp.Run(b, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, image, 0o644))
}

// Violations are what axe finds wrong with the page, its tables opened.
func Violations(t *testing.T, b *Tab) []string {
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	require.NoError(t, err, "axe-core is missing: run `make setup`")
	require.NoError(t, chromedp.Do(b, chromedp.Evaluate[chromedp.Void](string(axe)+`;
		document.querySelectorAll("details").forEach(table => table.open = true); 0`)))
	found, err := chromedp.Run(b, chromedp.Evaluate[[]string](`axe.run(document).then(result => {
		document.querySelectorAll("details").forEach(table => table.open = false);
		return result.violations.flatMap(rule => rule.nodes.map(node =>
			rule.id + ": " + node.html.slice(0, 200) + " " + node.failureSummary)); })`,
		chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	return found
}
