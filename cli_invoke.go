package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"hearth/backends"
	"hearth/gateway/client"
)

// invokeCommand calls a function.
type invokeCommand struct {
	Name   string   `arg:"" help:"Function."`
	Data   *string  `short:"d" placeholder:"TEXT" help:"Body of the request, @FILE for a file's content; by default standard input unless that is a terminal."`
	Method string   `short:"X" default:"POST" help:"HTTP method (${default})."`
	Header []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"Header; may be repeated."`
	Path   string   `placeholder:"/PATH" help:"Path after the function's name."`
	Query  string   `placeholder:"A=B" help:"Query."`
	Async  bool     `help:"Queue the call instead of waiting for its answer."`
	inNamespace
	connection
}

// Run prints the answer's body; a status of 400 or more is a failure.
func (i *invokeCommand) Run(ctx context.Context, p *process) error {
	key, err := i.key(i.Name)
	if err != nil {
		return err
	}
	header := http.Header{}
	for _, line := range i.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return &usageError{&backends.FieldError{Field: "--header", Value: line, Allowed: "NAME: VALUE"}}
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	body, err := i.body(p)
	if err != nil {
		return err
	}
	defer body.Close()
	c, err := i.connect(p, "")
	if err != nil {
		return err
	}
	answer, err := c.Invoke(ctx, client.Call{
		Key: key, Method: i.Method, Path: i.Path, Query: i.Query, Header: header, Body: body, Async: i.Async,
	})
	if err != nil {
		return explain(c, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(p.stdout, answer.Body); err != nil {
		return fmt.Errorf("the answer of %s was cut: %w", key.Name, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answered %s", key.Name, answer.Status)
	}
	return nil
}

// body is what is sent.
func (i *invokeCommand) body(p *process) (io.ReadCloser, error) {
	if i.Data == nil {
		if f, ok := p.stdin.(*os.File); ok {
			if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
				return http.NoBody, nil
			}
		}
		return io.NopCloser(p.stdin), nil
	}
	if path, ok := strings.CutPrefix(*i.Data, "@"); ok {
		file, err := os.Open(path)
		if err != nil {
			return nil, &usageError{&backends.FieldError{Field: "--data", Value: path, Allowed: "a readable file: " + reason(err)}}
		}
		return file, nil
	}
	return io.NopCloser(strings.NewReader(*i.Data)), nil
}
