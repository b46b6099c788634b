package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"hearth/backends"
)

// logsCommand prints what a function wrote.
type logsCommand struct {
	Name     string `arg:"" help:"Function."`
	Follow   bool   `short:"f" help:"Go on with new lines."`
	Tail     int    `short:"t" placeholder:"N" help:"Only the last N lines."`
	Since    string `placeholder:"TIME" help:"Only lines since then: 10m, or 2026-01-02T15:04:05Z."`
	Instance string `placeholder:"NAME" help:"Only lines of that replica."`
	inNamespace
	connection
	output
}

// Run prints a line each, with its time.
func (l *logsCommand) Run(ctx context.Context, p *process) error {
	key, err := l.key(l.Name)
	if err != nil {
		return err
	}
	since, err := parseSince(l.Since, time.Now())
	if err != nil {
		return &usageError{err}
	}
	c, err := l.connect(p, "")
	if err != nil {
		return err
	}
	lines := json.NewEncoder(p.stdout)
	for line, err := range c.Logs(ctx, backends.LogQuery{Key: key, Instance: l.Instance, Tail: l.Tail, Since: since, Follow: l.Follow}) {
		if err != nil {
			return explain(c, err)
		}
		if l.json() {
			err = lines.Encode(backends.LogMessage{Name: line.Key.Name, Namespace: line.Key.Namespace, Instance: line.Instance, Timestamp: line.Time, Text: line.Text})
		} else {
			_, err = fmt.Fprintf(p.stdout, "%s %s\n", line.Time.Format("2006-01-02T15:04:05.000Z07:00"), line.Text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseSince reads a time or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, ok := backends.ParseDuration(text); ok {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, &backends.FieldError{Field: "--since", Value: text, Allowed: "a duration such as 10m or a time such as 2026-01-02T15:04:05Z"}
	}
	return at, nil
}
