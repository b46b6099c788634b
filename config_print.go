package main

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// printSettings writes every setting as a line of YAML with its origin.
func printSettings(w io.Writer, c *Config, from *origins) error {
	fields := reflect.ValueOf(c).Elem()
	for _, s := range settings() {
		if s.flag == "config" || s.flag == "print-config" {
			continue
		}
		line := s.flag + ": " + redact(yamlText(fields.Field(s.index).Interface()))
		if _, err := fmt.Fprintf(w, "%-44s # %s\n", line, cmp.Or(from.of[s.flag], "default")); err != nil {
			return err
		}
	}
	return nil
}

// yamlText writes one value so that the file reads it back.
func yamlText(value any) string {
	switch v := value.(type) {
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case string:
		return strconv.Quote(v)
	case address:
		return strconv.Quote(string(v))
	}
	return fmt.Sprint(value)
}

// redact hides the password of any URL.
func redact(text string) string {
	return regexp.MustCompile(`(://[^/:@\s"]*:)[^/@\s"]+@`).ReplaceAllString(text, "${1}REDACTED@")
}
