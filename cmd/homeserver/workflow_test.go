package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The workflow for the repositories of others names targets, paths and flags of this one.
func TestWorkflowOfTheExamplesNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	text := readFile(t, repository+"examples/github-actions/tests.yml")
	var workflow struct {
		Name        string
		On          []string
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn string `yaml:"runs-on"`
			Steps  []struct {
				Name, Uses, Run string
				With            map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &workflow, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(workflow.Jobs) != 2 || len(workflow.On) == 0 {
		t.Fatalf("got %+v", workflow)
	}
	for name, job := range workflow.Jobs {
		if job.RunsOn == "" || len(job.Steps) == 0 {
			t.Errorf("%s runs nothing", name)
		}
		for _, step := range job.Steps {
			if (step.Uses == "") == (step.Run == "") {
				t.Errorf("%s: a step either uses or runs something: %+v", name, step)
			}
			if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@v\d+$`).MatchString(step.Uses) {
				t.Errorf("%s uses %s", name, step.Uses)
			}
		}
	}
	makefile := readFile(t, repository+"Makefile")
	for _, make := range regexp.MustCompile(`make -C \.homeserver (\S+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(makefile, "\n"+make[1]+": ") {
			t.Errorf("there is no target %s", make[1])
		}
	}
	for _, file := range regexp.MustCompile(`\.homeserver/(go\.\w+|migrations)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(repository + file[1]); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(text, ".homeserver/bin/homeserver") || !strings.Contains(makefile, "\nBIN     := bin/homeserver\n") {
		t.Error("the program is built elsewhere")
	}
	run := regexp.MustCompile(`docker run .* (\S+-dev)((?: --\S+ \S+)*)\n`).FindStringSubmatch(text)
	if run == nil || !strings.Contains(makefile, " -t "+run[1]+":latest ") {
		t.Fatalf("which image is run: %v", run)
	}
	// What follows the image is added to its entry point.
	words := append(slices.Clone(entryPoint(t, devImage(t))[1:]), strings.Fields(run[2])...)
	if got := runArgs(t, append(words, "--help")...); got.code != exitOK {
		t.Errorf("%v: %+v", words, got)
	}
}
