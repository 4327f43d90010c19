package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// repository is where the documents are, seen from this folder.
const repository = "../../"

// block is a fenced block of a document.
type block struct {
	language string
	reason   string // why its commands are not run, in brackets after the language
	text     string
	line     int
}

// blocks cuts the fenced blocks out of a document.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	var all []block
	var open *block
	line := 0
	for text := range strings.Lines(readFile(t, repository+file)) {
		line++
		language, fence := strings.CutPrefix(text, "```")
		switch {
		case fence && open == nil:
			language, reason, _ := strings.Cut(strings.TrimSpace(language), " ")
			open = &block{language: language, reason: strings.Trim(reason, "()"), line: line}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += text
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", file, open.line)
	}
	return all
}

// step is a block of commands in a document, and what it says of the answers.
type step struct {
	place    string
	commands string
	answers  []any // of the json block that follows
}

// steps pairs the sh blocks of a document with the json blocks that follow them.
func steps(t *testing.T, file string) []step {
	t.Helper()
	var all []step
	follows := false
	for _, b := range blocks(t, file) {
		place := fmt.Sprintf("%s:%d", file, b.line)
		switch {
		case b.language == "sh":
			all = append(all, step{place: place, commands: b.text})
		case b.language == "json" && follows:
			answers, err := decodeAll(b.text)
			if err != nil {
				t.Fatalf("%s: %v", place, err)
			}
			all[len(all)-1].answers = answers
		}
		follows = b.language == "sh"
	}
	return all
}

// decodeAll reads JSON values that stand one after the other.
func decodeAll(text string) ([]any, error) {
	var values []any
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w in %q", err, text)
		}
		values = append(values, value)
	}
}

// outcome is what came of a step.
type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// runSteps runs the steps in one bash, in a folder, as if they were typed there one after the other.
func runSteps(t *testing.T, dir string, environ []string, all []step) []outcome {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	notes := t.TempDir()
	var script strings.Builder
	for i, s := range all {
		// Braces make no shell of their own: variables and functions stay.
		fmt.Fprintf(&script, "begun=$EPOCHREALTIME\n{\n%s\n} >%[2]s/%[3]d.out 2>%[2]s/%[3]d.err\n"+
			"echo \"$? ${begun/./} ${EPOCHREALTIME/./}\" >%[2]s/%[3]d.end\n", s.commands, notes, i)
	}
	file := filepath.Join(notes, "script")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "--norc", file) //nolint:gosec // what the documents say
	cmd.Dir = dir
	// Commands in the background end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	// No settings of the user who runs the tests, and no proxy on the way to this machine.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + notes, "NO_PROXY=*", "LC_ALL=C.UTF-8"}, environ...)
	if out, err := cmd.CombinedOutput(); len(out) > 0 {
		t.Errorf("bash: %v: %s", err, out)
	}
	outcomes := make([]outcome, len(all))
	for i := range all {
		base := filepath.Join(notes, strconv.Itoa(i))
		var begun, ended int64
		if _, err := fmt.Sscanf(readFile(t, base+".end"), "%d %d %d", &outcomes[i].code, &begun, &ended); err != nil {
			t.Fatal(err)
		}
		outcomes[i].stdout, outcomes[i].stderr = readFile(t, base+".out"), readFile(t, base+".err")
		outcomes[i].took = time.Duration(ended-begun) * time.Microsecond
	}
	return outcomes
}

// judge compares what came of a step with what its document says.
func (s step) judge(t *testing.T, o outcome) {
	t.Helper()
	if o.code != 0 {
		t.Errorf("%s: exit code %d: %s%s", s.place, o.code, o.stdout, o.stderr)
		return
	}
	if s.answers == nil {
		if strings.Contains(o.stdout, `"errcode"`) {
			t.Errorf("%s: refused: %s", s.place, o.stdout)
		}
		return
	}
	answers, err := decodeAll(o.stdout)
	if err != nil || len(answers) != len(s.answers) {
		t.Errorf("%s: %d answers (%v), want %d: %s", s.place, len(answers), err, len(s.answers), o.stdout)
		return
	}
	// Commands that run at the same time answer in any order.
	for _, want := range s.answers {
		var reasons []string
		for i, got := range answers {
			reason := mismatch(want, got, "", true)
			if reason == "" {
				answers = append(answers[:i:i], answers[i+1:]...)
				reasons = nil
				break
			}
			reasons = append(reasons, reason)
		}
		if reasons != nil {
			t.Errorf("%s: %s\ngot %s", s.place, strings.Join(reasons, "\n"), o.stdout)
		}
	}
}

// anything stands in a document for whatever a server makes up.
const anything = "…"

// mismatch returns the place where an answer differs from a document, or "". In the document, "…" is any value; as
// the name of a member, whatever its name; as the last item of a list, one or more items. The members of
// the answer itself must be the same, while objects inside it may have more than a document shows, except
// that {} is empty.
func mismatch(want, got any, place string, exact bool) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || exact && len(got) != len(want) || len(want) == 0 && len(got) > 0 {
			return fmt.Sprintf("at %q: want %v, got %v", place, want, got)
		}
		return mismatchedMember(want, got, place)
	case []any:
		got, ok := got.([]any)
		if n := len(want); ok && n > 0 && want[n-1] == anything && len(got) >= n {
			want, got = want[:n-1], got[:n-1]
		}
		if !ok || len(got) != len(want) {
			return fmt.Sprintf("at %q: want %v, got %v", place, want, got)
		}
		for i := range want {
			if reason := mismatch(want[i], got[i], fmt.Sprintf("%s[%d]", place, i), false); reason != "" {
				return reason
			}
		}
		return ""
	default:
		if want != anything && want != got {
			return fmt.Sprintf("at %q: want %v, got %v", place, want, got)
		}
		return ""
	}
}

func mismatchedMember(want, got map[string]any, place string) string {
	for name, value := range want {
		found, ok := got[name]
		if name == anything {
			// The one that the document does not name.
			for other := range got {
				if _, named := want[other]; !named {
					found, ok = got[other], true
				}
			}
		}
		if !ok {
			return fmt.Sprintf("at %q: there is no %s in %v", place, name, got)
		}
		if reason := mismatch(value, found, place+"."+name, false); reason != "" {
			return reason
		}
	}
	return ""
}

func TestMismatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want, got string
		same      bool
	}{
		{`{}`, `{}`, true},
		{`{}`, `{"a":1}`, false},
		{`{"a":"…"}`, `{"a":[1,{}]}`, true},
		{`{"a":"…"}`, `{"a":1,"b":2}`, false},
		{`{"a":"…","b":"…"}`, `{"a":1}`, false},
		{`{"a":{"b":1}}`, `{"a":{"b":1,"c":2}}`, true},
		{`{"a":{"b":1}}`, `{"a":{"b":2}}`, false},
		{`{"a":{}}`, `{"a":{"b":2}}`, false},
		{`{"a":{"…":{"b":1}}}`, `{"a":{"!x":{"b":1}}}`, true},
		{`{"a":{"…":{"b":1}}}`, `{"a":{}}`, false},
		{`{"a":[1,"…"]}`, `{"a":[1,2,3]}`, true},
		{`{"a":[1,"…"]}`, `{"a":[1]}`, false},
		{`{"a":[1]}`, `{"a":[1,2]}`, false},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":1,"c":2}]}`, true},
		{`{"a":[]}`, `{"a":{}}`, false},
		{`{"a":null}`, `{"a":false}`, false},
	} {
		values, err := decodeAll(test.want + test.got)
		if err != nil {
			t.Fatal(err)
		}
		if reason := mismatch(values[0], values[1], "", true); (reason == "") != test.same {
			t.Errorf("%s and %s: %q", test.want, test.got, reason)
		}
	}
}
