package pages_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// openTutorial opens the tutorial of a new server, and waits until it runs.
func openTutorial(t *testing.T) *tab {
	t.Helper()
	c, b := startServer(t), openTab(t)
	b.prefer("light")
	b.open(c.BaseURL + "/")
	b.wait("document.documentElement.dataset.ready")
	return b
}

// take opens a step like the guide does and presses its button.
func (b *tab) take(step string) {
	b.t.Helper()
	if !eval[bool](b, fmt.Sprintf("document.querySelector('#%s details').open", step)) {
		b.click("#" + step + " summary")
	}
	b.click("#" + step + " form button")
	b.wait(fmt.Sprintf("document.querySelector('#%s form button').ariaDisabled !== 'true'", step))
}

// succeed takes a step, and returns the JSON that the page shows as its answer.
func (b *tab) succeed(step string) map[string]any {
	b.t.Helper()
	b.take(step)
	b.wait(fmt.Sprintf("document.querySelector('#%s.done .answer:not([hidden])')", step))
	if got := b.text(step, ".status"); got != "200" {
		b.t.Errorf("%s: the page shows status %s", step, got)
	}
	return b.answer(step)
}

func (b *tab) text(step, selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector('#%s %s').textContent", step, selector))
}

func (b *tab) answer(step string) map[string]any {
	b.t.Helper()
	var answer map[string]any
	if err := json.Unmarshal([]byte(b.text(step, ".json")), &answer); err != nil {
		b.t.Fatalf("%s: %v", step, err)
	}
	return answer
}

// both registers both people and starts listening for them.
func (b *tab) both() {
	b.t.Helper()
	for _, step := range []string{"alice-register", "bob-register", "alice-listen", "bob-listen"} {
		b.succeed(step)
	}
}

func TestTutorialFromTheFirstStepToTheLast(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	tour := []string{
		"alice-register", "bob-register", "alice-login", "alice-listen", "bob-listen", "alice-create", "alice-invite",
		"bob-join", "alice-send", "bob-send", "alice-members", "bob-history", "bob-leave", "alice-logout",
	}
	for i, step := range tour {
		b.waitForText("#guide-count", fmt.Sprintf("%d of %d", i+1, len(tour)))
		b.click("#guide-go")
		b.wait(fmt.Sprintf("document.querySelector('#%s.next details').open", step))
		if got := eval[string](b, "document.activeElement.closest('.step').id"); got != step {
			t.Errorf("the keyboard is at %s, not at %s", got, step)
		}
		answer := b.succeed(step)
		switch step {
		case "alice-invite":
			b.waitForText(".bob .events", "invited @bob-")
		case "bob-send":
			for _, person := range []string{".alice", ".bob"} {
				b.waitForText(person+" .events", "Hello Bob! Can you see this?")
				b.waitForText(person+" .events", "Yes, the moment you sent it.")
			}
		case "alice-members":
			if got := b.text(step, ".hint-good"); !strings.HasPrefix(got, "2 joined") {
				t.Errorf("members: %s", got)
			}
		case "bob-history":
			if chunk, _ := answer["chunk"].([]any); len(chunk) != 5 {
				t.Errorf("history: %d events", len(chunk))
			}
		case "bob-leave":
			b.waitForText(".alice .events", "left")
		}
	}
	b.waitForText("#guide-count", "All done")
	b.waitForText(".alice .who", "logged out")
	if got := eval[string](b, "document.activeElement.id"); got != "guide-place" {
		t.Errorf("after the last step the keyboard is at %q, not where that is said", got)
	}
	if got := eval[string](b, "document.querySelector('#announcer').textContent"); got != "" {
		t.Errorf("logging out was also told as an error: %q", got)
	}
	b.phone()
	b.box("All done")
	b.readable()
}

func TestTutorialShowsEventsAsJSON(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.both()
	room, _ := b.succeed("alice-create")["room_id"].(string)
	b.waitForText(".alice .events", "created the room")
	event := b.succeed("alice-send")["event_id"]
	b.waitForText(".alice .message.own", "Hello Bob!")
	b.click(".alice .message summary")
	var shown map[string]any
	if err := json.Unmarshal([]byte(eval[string](b, "document.querySelector('.alice .message pre').innerText")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown["event_id"] != event || shown["room_id"] != room || shown["type"] != "m.room.message" {
		t.Errorf("got %v, want the event %v of %s", shown, event, room)
	}
}

// TestTutorialCommandsRun takes the commands out of the page and runs them.
func TestTutorialCommandsRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	b := openTutorial(t)
	run := func(command string) map[string]any {
		t.Helper()
		output, err := exec.Command("sh", "-c", strings.Replace(command, "curl", "curl -s", 1)).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var answer map[string]any
		if err := json.Unmarshal(output, &answer); err != nil {
			t.Fatalf("%s: %v: %s", command, err, output)
		}
		return answer
	}
	if got := run(b.text("bob-register", ".curl")); got["access_token"] == nil {
		t.Errorf("the command of a step that was not taken yet gave %v", got)
	}
	for _, step := range []string{"bob-login", "alice-register", "alice-listen"} {
		b.succeed(step)
	}
	b.succeed("alice-create")
	for _, step := range []string{"alice-invite", "alice-members", "alice-history", "alice-login"} {
		if got := run(b.text(step, ".curl")); got["errcode"] != nil {
			t.Errorf("%s: the command gave %v", step, got)
		}
	}
	b.do(script("document.querySelector('#alice-send details').open = true"))
	b.fill("#alice-send-body", `it's $HOME, "so" \ !`)
	sent := run(b.text("alice-send", ".curl"))["event_id"]
	if answer := b.succeed("alice-send"); answer["event_id"] != sent {
		t.Errorf("the page sent another event, %v, than its command, %v", answer["event_id"], sent)
	}
	b.waitForText(".alice .message", `it's $HOME, "so" \ !`)
}

func TestTutorialExplainsErrors(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.take("alice-create")
	b.waitForText("#alice-create .hint", "Alice has no account yet: take step 1, “Register”, first.")
	if got := eval[string](b, "document.activeElement.textContent"); got != "Create the room" {
		t.Errorf("the keyboard is at %q, not at the button that was pressed", got)
	}
	if got := b.text("alice-create", ".status"); got != "401" {
		t.Errorf("the page shows status %s", got)
	}
	if b.answer("alice-create")["errcode"] != "M_MISSING_TOKEN" {
		t.Errorf("the page shows %v", b.answer("alice-create"))
	}
	b.take("alice-send")
	b.waitForText("#alice-send .hint", "Alice has no account yet: take step 1, “Register”, first.")
	b.toldOnce("alice-send")
	b.take("alice-login")
	b.waitForText("#alice-login .hint", "whether the account is registered")
	b.toldOnce("alice-login")
	b.succeed("alice-register")
	b.take("alice-invite")
	b.waitForText("#alice-invite .hint", "“Room” is empty: take step 4, “Create a room”, first.")
	b.take("alice-join")
	b.waitForText("#alice-join .hint", "“Room” is empty")
	if got := eval[string](b, "document.activeElement.id"); got != "alice-join-room" {
		t.Errorf("the keyboard is at %q, not at the empty field", got)
	}
	b.take("alice-register")
	b.waitForText("#alice-register .hint", "otherwise choose another")
	b.toldOnce("alice-register")
	b.succeed("alice-create")
	b.take("alice-invite")
	b.waitForText("#alice-invite .hint", "“Whom” is empty: let Bob take step 1, “Register”, first.")
	b.toldOnce("alice-invite")
	b.readable()
}

// toldOnce fails the test if what went wrong with a step is said in more than one sentence, or place.
func (b *tab) toldOnce(step string) {
	b.t.Helper()
	if got := eval[string](b, "document.querySelector('#announcer').textContent"); got != "" {
		b.t.Errorf("%s: announced, too: %q", step, got)
	}
	alerts := eval[[]string](b, "[...document.querySelectorAll('#"+step+" .notice')].filter((e) => e.checkVisibility()).map((e) => e.textContent)")
	if len(alerts) != 1 {
		b.t.Errorf("%s: told %d times: %q", step, len(alerts), alerts)
	}
	message := eval[string](b, "(() => { try { return JSON.parse(document.querySelector('#"+step+" .json').textContent).error } catch { return '' } })()")
	if message != "" && strings.Contains(alerts[0], message) {
		b.t.Errorf("%s: the message of the server and the same in other words: %q", step, alerts[0])
	}
}

func TestTutorialTellsOfAnEndedTokenOnce(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.both()
	b.do(script("fetch('/_matrix/client/v3/logout', { method: 'POST', headers: { Authorization: " +
		"document.querySelector('#alice-create .curl').textContent.match(/Bearer [^']+/)[0].replace('Authorization: ', '') } })"))
	b.waitForText("#announcer", "Alice: This token has ended: take step 2, “Log in”, to get another.")
	b.waitForText(".alice .pill", "token has ended")
	b.waitForText(".alice .who", "logged out")
	b.take("alice-create")
	b.waitForText("#alice-create .hint", "Alice is logged out: take step 2, “Log in”, first.")
	b.succeed("alice-login")
	b.succeed("alice-listen")
	b.waitForText(".alice .pill", "listening")
}

// phone has the screen of a phone.
func (b *tab) phone() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(390, 844))
}

// inSight is JavaScript for whether an element is on the screen, with nothing lying over it.
const inSight = `(() => {
	const e = document.querySelector(%q), { left, right, top, bottom } = e.getBoundingClientRect();
	return top >= 0 && bottom <= innerHeight && e.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
})()`

func TestTutorialShowsAMessageArriveOnAPhone(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.phone()
	b.both()
	for _, step := range []string{"alice-create", "alice-invite", "bob-join", "alice-send"} {
		b.succeed(step)
	}
	b.waitForText("#guide-news", "Both see “Hello Bob! Can you see this?”")
	if !eval[bool](b, fmt.Sprintf(inSight, "#guide-news")) {
		t.Error("the message is out of sight")
	}
	b.box("Hello Bob!")
	if got := eval[string](b, "document.activeElement.closest('.step').id"); got != "alice-send" {
		t.Errorf("the keyboard has gone to %s", got)
	}
	b.readable()
	b.do(chromedp.EmulateViewport(1280, 800))
	for _, person := range []string{".alice", ".bob"} {
		if !eval[bool](b, fmt.Sprintf(inSight, person+" .events li:last-child summary")) {
			t.Errorf("on a wide screen the list of %s is out of sight", person)
		}
	}
}

// box fails the test unless the guide's box lies around its text with room on each side, and has its corners.
func (b *tab) box(state string) {
	b.t.Helper()
	problems := eval[[]string](b, `(() => {
		const found = [], card = document.querySelector('.guide .card'), box = card.getBoundingClientRect();
		for (const e of card.querySelectorAll('p, button')) {
			if (!e.checkVisibility()) continue;
			const { left, right, top, bottom } = e.getBoundingClientRect();
			if (left - box.left < 10 || box.right - right < 10 || top - box.top < 8 || box.bottom - bottom < 8) found.push('no room around ' + e.id);
			if (e.scrollHeight > e.clientHeight + 1) found.push('cut off: ' + e.id);
		}
		const style = getComputedStyle(card);
		for (const corner of ['TopLeft', 'TopRight', 'BottomLeft', 'BottomRight']) {
			if (style['border' + corner + 'Radius'] !== '14px') found.push('corner ' + corner);
		}
		if (document.querySelector('.guide').getBoundingClientRect().top < 0) found.push('it has scrolled away');
		return found;
	})()`)
	for _, problem := range problems {
		b.t.Errorf("the guide, with %q: %s", state, problem)
	}
}

func TestTutorialKeepsTheBoxOfItsGuide(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	for _, width := range []int64{320, 390, 1280} {
		b.do(chromedp.EmulateViewport(width, 844), script("scrollTo(0, 0)"))
		b.box("the top of the page")
		b.do(script("scrollTo(0, 9999)"))
		b.box("the end of the page")
	}
}

func TestTutorialGoesOnAfterAReload(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.both()
	room := b.succeed("alice-create")["room_id"]
	b.succeed("alice-send")
	b.do(script("document.querySelector('#bob-login details').open = true"))
	b.fill("#bob-login-password", "something else")
	command := b.text("alice-send", ".curl")

	b.do(chromedp.Reload())
	b.wait("document.documentElement.dataset.ready")
	b.waitForText(".alice .pill", "listening")
	b.waitForText(".alice .events", "Hello Bob!")
	if got := b.text("alice-send", ".curl"); got != command {
		t.Errorf("the command was %s and is %s", command, got)
	}
	if got := eval[any](b, "document.querySelector('#bob-invite-room').value"); got != room {
		t.Errorf("the room was %v and is %v", room, got)
	}
	if got := eval[string](b, "document.querySelector('#bob-login-password').value"); got != "something else" {
		t.Errorf("what was typed became %q", got)
	}
	b.waitForText("#guide-count", "3 of")
	b.succeed("alice-invite")
	b.waitForText(".bob .events", "invited")
}

func TestTutorialStartsOver(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.succeed("alice-register")
	name := b.text("alice-register", ".hint-good")
	b.reloadBy("#start-over")
	b.waitForText("#guide-count", "1 of")
	b.waitForText(".alice .who", "has no account yet")
	b.succeed("alice-register")
	if again := b.text("alice-register", ".hint-good"); again == name {
		t.Errorf("the same name again: %s", again)
	}
}

func TestTutorialListensAgainAfterATokenHasEnded(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.both()
	b.succeed("alice-logout")
	b.waitForText(".alice .pill", "not listening")
	b.take("alice-listen")
	b.waitForText("#alice-listen .hint", "Alice is logged out: take step 2, “Log in”, first.")
	b.succeed("alice-login")
	b.succeed("alice-listen")
	b.waitForText(".alice .pill", "listening")
	b.take("alice-listen")
	b.waitForText("#alice-listen form button", "Start listening")
	b.waitForText(".alice .pill", "not listening")
}

func TestTutorialCopies(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.click("#alice-register .copy")
	b.waitForText("#alice-register .copy", "Copied")
	b.waitForText("#announcer", "copied")
}

func TestTutorialCanBeReadBeforeItBegins(t *testing.T) {
	t.Parallel()
	b := openTutorial(t)
	b.do(script("for (const d of document.querySelectorAll('details')) d.open = true"))
	b.readable()
}
