package ui

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`//[A-Za-z0-9.-]+\.[a-z]{2,}|@import|url\(`)
	inline := regexp.MustCompile(`(?i)<script(>|[^>]*>[^<])|\son[a-z]+=|\sstyle=|<style|javascript:|innerHTML|insertAdjacentHTML|document\.write|eval\(`)
	names, err := fs.Glob(Files(), "*")
	if err != nil || len(names) != 3 {
		t.Fatalf("got files %v (%v)", names, err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if found := elsewhere.Find(content); found != nil {
			t.Errorf("%s names another place: %s", name, found)
		}
		if found := inline.Find(content); found != nil {
			t.Errorf("%s has what its policy forbids: %s", name, found)
		}
	}
}

func TestEveryElementThatTheScriptNamesIsInThePage(t *testing.T) {
	script, err := fs.ReadFile(Files(), "page.js")
	if err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`byId\("([^"]+)"\)`).FindAllSubmatch(script, -1)
	if len(ids) < 5 {
		t.Fatalf("found only %d names in the script", len(ids))
	}
	for _, id := range ids {
		if !strings.Contains(string(page), `id="`+string(id[1])+`"`) {
			t.Errorf("no element %s", id[1])
		}
	}
}
