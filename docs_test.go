package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestREADME runs the five minutes of the README word for word, but for the
// port, against a running server.
func TestREADME(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, compiling a Go program takes longer than a compilation may")
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("server\nenv HEARTH_DATA_DIR=$DATA\n")
	commands := readmeCommands(t, string(text))
	for _, command := range commands {
		script.WriteString("exec sh -c '" + command + "'\n")
	}
	file := filepath.Join(t.TempDir(), "readme.txtar")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	repository, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{file}, Cmds: scriptCommands(), RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repository)
			return setupScript(env)
		},
	})
}

// readmeCommands gives the commands under the heading "Five minutes" that talk
// to a running server, ready for a shell.
func readmeCommands(t *testing.T, readme string) []string {
	t.Helper()
	_, section, _ := strings.Cut(readme, "## Five minutes")
	section, _, _ = strings.Cut(section, "\n## ")
	var commands []string
	for line := range strings.SplitSeq(section, "\n") {
		command, _, _ := strings.Cut(strings.TrimPrefix(line, "    "), " # ")
		command = strings.TrimSpace(command)
		if !strings.HasPrefix(line, "    ") || command == "make build" || command == "./hearth" {
			continue // what the test's own server stands for
		}
		commands = append(commands, strings.NewReplacer("./hearth ", "hearth ", "http://127.0.0.1:8080", "$OPENFAAS_URL",
			"go build -o ", "go build -C $REPO -o $WORK/", "deploy ./docs/", "deploy $REPO/docs/").Replace(command))
	}
	if len(commands) < 6 {
		t.Fatalf("the README has only the commands %q", commands)
	}
	return commands
}

// TestSpecificationNamesTestsThatExist keeps SPECIFICATION.md true.
func TestSpecificationNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("SPECIFICATION.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, err := exec.Command("git", "ls-files", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	for _, file := range strings.Fields(string(listed)) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(source, -1) {
			all = append(all, string(m[1]))
		}
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(string(text), -1)
	if len(named) < 30 {
		t.Fatalf("SPECIFICATION.md names only %d tests", len(named))
	}
	for _, name := range named {
		if !slices.Contains(all, name) {
			t.Errorf("SPECIFICATION.md names %s, which is no test of ours", name)
		}
	}
	stories := regexp.MustCompile(`TestStories/(\w+)`).FindAllStringSubmatch(string(text), -1)
	for _, s := range stories {
		if _, err := os.Stat(filepath.Join("testdata/scripts", s[1]+".txtar")); err != nil {
			t.Errorf("SPECIFICATION.md names the story %s: %v", s[1], err)
		}
	}
}

// TestLinksInDocumentsLeadSomewhere checks every relative link.
func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	documents, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, document := range append(documents, more...) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), string(m[1]))); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
}
