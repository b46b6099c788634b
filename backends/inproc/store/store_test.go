package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryFunctionIsCompleteAndFoundByItsName(t *testing.T) {
	nameForm := regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	functions := Functions()
	if len(functions) < 10 {
		t.Fatalf("%d functions, want at least 10", len(functions))
	}
	for _, f := range functions {
		if !nameForm.MatchString(f.Name) || f.Title == "" || f.Description == "" || len(f.Process) == 0 {
			t.Errorf("incomplete: %+v", f)
		}
		if !bytes.HasPrefix(f.Wasm, []byte("\x00asm\x01\x00\x00\x00")) || !strings.HasPrefix(f.Digest, "sha256:") || len(f.Digest) != 71 {
			t.Errorf("%s: %d bytes, digest %q", f.Name, len(f.Wasm), f.Digest)
		}
		if found, ok := Lookup(f.Name); !ok || found.Digest != f.Digest {
			t.Errorf("Lookup(%q) = %q, %t, want %q", f.Name, found.Digest, ok, f.Digest)
		}
	}
	if _, ok := Lookup("no-such-function"); ok {
		t.Error("a function was found that is not there")
	}
}

func TestEveryModuleIsUsedAndAllOfThemAreSmall(t *testing.T) {
	files, err := modules.ReadDir("wasm")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range files {
		wasm, err := modules.ReadFile("wasm/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		total += len(wasm)
		module := strings.TrimSuffix(file.Name(), ".wasm")
		if !slices.ContainsFunc(catalogue(), func(f Function) bool { return f.Module == module }) {
			t.Errorf("module %s belongs to no function", module)
		}
	}
	if total > 128<<10 {
		t.Errorf("the modules are %d bytes together, want at most 128 KiB", total)
	}
}

func TestWhatIsReturnedIsTheCallersOwn(t *testing.T) {
	first, _ := Lookup("echo")
	first.Wasm[0], first.Process[0], first.Annotations[outputKey] = 'x', "changed", "changed"
	second, _ := Lookup("echo")
	if second.Wasm[0] != 0 || second.Process[0] != "echo" || second.Annotations[outputKey] != "cgi" {
		t.Errorf("a change by one caller reached another: %q %q %q", second.Wasm[:4], second.Process, second.Annotations)
	}
}

func TestAnImageNameStandsForAFunction(t *testing.T) {
	for _, c := range []struct {
		image, function, process string
		classicLog               bool
	}{
		{"store/figlet", "figlet", "figlet", false},
		{"store/figlet:latest", "figlet", "figlet", false},
		{"functions/alpine", "alpine", "cat", true},
		{"functions/alpine:latest", "alpine", "cat", true},
		{"functions/alpine:3.19", "alpine", "cat", true},
		{"docker.io/functions/alpine", "alpine", "cat", true},
		{"docker.io/functions/alpine:latest", "alpine", "cat", true},
		{"theaxer/redirector", "redirect", "./handler", false},
		{"docker.io/theaxer/redirector:latest", "redirect", "./handler", false},
		{"ghcr.io/openfaas/alpine:latest", "alpine", "cat", true},
		{"ghcr.io/openfaas/figlet:latest", "figlet", "figlet", true},
		{"ghcr.io/openfaas/nodeinfo:latest", "nodeinfo", "nodeinfo", false},
		{"ghcr.io/openfaas/printer:latest", "printer", "printer", false},
		{"ghcr.io/openfaas/shasum:latest", "sha512sum", "sha512sum", true},
		{"ghcr.io/openfaas/sleep:latest", "sleep", "sleep", false},
	} {
		f, ok := Resolve(c.image)
		if !ok || f.Name != c.function || strings.Join(f.Process, " ") != c.process || f.ClassicLog != c.classicLog || len(f.Wasm) == 0 {
			t.Errorf("Resolve(%q) = %s %q classic %t (%t), want %s %q classic %t", c.image, f.Name, f.Process, f.ClassicLog, ok, c.function, c.process, c.classicLog)
		}
	}
	if f, _ := Resolve("theaxer/redirector"); f.Annotations[outputKey] != "cgi" {
		t.Errorf("the redirector's annotations are %v, want %s: cgi", f.Annotations, outputKey)
	}
}

func TestOtherImageNamesStandForNothing(t *testing.T) {
	for _, image := range []string{"", ":", "/", "alpine", "alpine:latest", "functions", "functions/alpine2", "functions/alpine/x", "FUNCTIONS/alpine",
		"functions/alpine:", "functions/alpine:a b", "functions/alpine:-x", "functions/alpine:a:b", "functions/alpine:" + strings.Repeat("a", 129),
		"functions/alpine@sha256:" + strings.Repeat("0", 64), "functions/alpine:latest@sha256:" + strings.Repeat("0", 64),
		"docker.io/docker.io/functions/alpine", "quay.io/functions/alpine", "localhost:5000/functions/alpine", "x@functions/alpine",
		"openfaas/alpine", "ghcr.io/openfaas/alpine-x", "ghcr.io:443/openfaas/alpine", "ghcr.io/openfaas/hey:latest",
		"store/", "store/nothing", "store/figlet:2", "store/figlet/x", "docker.io/store/figlet", "figlet", "store/../figlet", "store/wasm/figlet"} {
		if f, ok := Resolve(image); ok {
			t.Errorf("Resolve(%q) = %s, want nothing", image, f.Name)
		}
	}
}

func FuzzResolveNeverPanics(f *testing.F) {
	for _, a := range Aliases() {
		f.Add("docker.io/" + a.Image + ":latest")
	}
	f.Add("store/cat")
	f.Add("a:b/c@d:e")
	f.Fuzz(func(t *testing.T, image string) {
		found, ok := Resolve(image)
		if ok != (found.Name != "") {
			t.Fatalf("Resolve(%q) = %q, %t", image, found.Name, ok)
		}
	})
}

func TestEveryAliasNamesAFunction(t *testing.T) {
	for _, a := range Aliases() {
		if _, ok := Lookup(a.Function); !ok {
			t.Errorf("alias %s stands for function %q, which is not there", a.Image, a.Function)
		}
	}
}

func TestTheStoreDocumentIsWrittenAsClientsReadIt(t *testing.T) {
	got, err := json.MarshalIndent(NewDocument(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "store.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the document differs from %s; run with -update and look at the change\n%s", golden, got)
	}
}

func TestEveryImageOfTheDocumentResolvesToItsFunction(t *testing.T) {
	for _, entry := range NewDocument().Functions {
		for _, platform := range []string{"x86_64", "arm64", "armhf"} {
			f, ok := Resolve(entry.Images[platform])
			if !ok || f.Name != entry.Name || strings.Join(f.Process, " ") != entry.Process {
				t.Errorf("%s: image %q on %s resolves to %q, %t", entry.Name, entry.Images[platform], platform, f.Name, ok)
			}
		}
	}
}
