package store

import "strings"

// Document is what GET /system/store answers: a function store of version 2 as faas-cli and the OpenFaaS user interface read it.
type Document struct {
	Version   string  `json:"version"`
	Functions []Entry `json:"functions"`
}

// Entry is one function of a Document.
type Entry struct {
	Title       string            `json:"title"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Author      string            `json:"author"`
	Images      map[string]string `json:"images"` // by platform as faas-cli names it
	Process     string            `json:"fprocess"`
	RepoURL     string            `json:"repo_url"`
	Environment map[string]string `json:"environment,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// NewDocument lists the store's functions under the image names by which Resolve finds them; a module runs on every platform.
func NewDocument() Document {
	d := Document{Version: "0.2.1", Functions: []Entry{}}
	for _, f := range catalogue() {
		image := Prefix + f.Name
		d.Functions = append(d.Functions, Entry{
			Title:       f.Title,
			Name:        f.Name,
			Description: f.Description,
			Author:      "hearth",
			Images:      map[string]string{"x86_64": image, "arm64": image, "armhf": image},
			Process:     strings.Join(f.Process, " "),
			Environment: f.Environment,
			Labels:      f.Labels,
			Annotations: f.Annotations,
		})
	}
	return d
}
