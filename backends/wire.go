package backends

import (
	"maps"
	"time"
)

// FunctionDeployment is the body that deploys or updates a function
// (OpenFaaS API). Unknown fields are ignored: the old UI sends some.
type FunctionDeployment struct {
	Service                string            `json:"service"`
	Image                  string            `json:"image"`
	Namespace              string            `json:"namespace,omitempty"`
	EnvProcess             string            `json:"envProcess,omitempty"`
	EnvVars                map[string]string `json:"envVars,omitempty"`
	Constraints            []string          `json:"constraints,omitempty"`
	Secrets                []string          `json:"secrets,omitempty"`
	Labels                 map[string]string `json:"labels,omitempty"`
	Annotations            map[string]string `json:"annotations,omitempty"`
	Limits                 *Resources        `json:"limits,omitempty"`
	Requests               *Resources        `json:"requests,omitempty"`
	ReadOnlyRootFilesystem bool              `json:"readOnlyRootFilesystem,omitempty"`
}

// FunctionStatus is a function as the API answers it. Keys vanish when empty:
// clients compare with reflect.DeepEqual.
type FunctionStatus struct {
	Name                   string            `json:"name"`
	Image                  string            `json:"image"`
	Namespace              string            `json:"namespace,omitempty"`
	EnvProcess             string            `json:"envProcess,omitempty"`
	EnvVars                map[string]string `json:"envVars,omitempty"`
	Constraints            []string          `json:"constraints,omitempty"`
	Secrets                []string          `json:"secrets,omitempty"`
	Labels                 map[string]string `json:"labels,omitempty"`
	Annotations            map[string]string `json:"annotations,omitempty"`
	Limits                 *Resources        `json:"limits,omitempty"`
	Requests               *Resources        `json:"requests,omitempty"`
	ReadOnlyRootFilesystem bool              `json:"readOnlyRootFilesystem,omitempty"`
	InvocationCount        float64           `json:"invocationCount,omitempty"`
	Replicas               int               `json:"replicas,omitempty"`
	AvailableReplicas      int               `json:"availableReplicas,omitempty"`
	CreatedAt              time.Time         `json:"createdAt"`
	Usage                  *UsageStatus      `json:"usage,omitempty"`
	Problem                string            `json:"problem,omitempty"` // ours: why it is not ready
}

// UsageStatus is Usage in the API's words.
type UsageStatus struct {
	CPU              float64 `json:"cpu,omitempty"` // millicores
	TotalMemoryBytes float64 `json:"totalMemoryBytes,omitempty"`
}

// ScaleRequest asks for a number of replicas.
type ScaleRequest struct {
	ServiceName string `json:"serviceName"`
	Namespace   string `json:"namespace,omitempty"`
	Replicas    int64  `json:"replicas"`
}

// DeleteRequest names the function to remove.
type DeleteRequest struct {
	FunctionName string `json:"functionName"`
	Namespace    string `json:"namespace,omitempty"`
}

// SecretBody creates or replaces a secret, and without values lists one.
type SecretBody struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Value     string `json:"value,omitempty"`
	RawValue  []byte `json:"rawValue,omitempty"` // goes before Value
}

// NamespaceBody is a namespace in the API.
type NamespaceBody struct {
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// GatewayInfo answers /system/info. Clients dereference both inner objects
// without asking.
type GatewayInfo struct {
	Provider ProviderInfo `json:"provider"`
	Version  VersionInfo  `json:"version"`
	Arch     string       `json:"arch"`
}

// ProviderInfo names the backend.
type ProviderInfo struct {
	Provider      string      `json:"provider"`
	Version       VersionInfo `json:"version"`
	Orchestration string      `json:"orchestration"`
}

// VersionInfo names a build.
type VersionInfo struct {
	CommitMessage string `json:"commit_message,omitempty"`
	SHA           string `json:"sha"`
	Release       string `json:"release"`
}

// LogMessage is one line of /system/logs.
type LogMessage struct {
	Name      string    `json:"name"`
	Namespace string    `json:"namespace"`
	Instance  string    `json:"instance"`
	Timestamp time.Time `json:"timestamp"`
	Text      string    `json:"text"`
}

// StoreFunction is one entry of a store document, version 0.2.
type StoreFunction struct {
	Title                  string            `json:"title"`
	Name                   string            `json:"name"`
	Description            string            `json:"description"`
	Author                 string            `json:"author,omitempty"`
	Icon                   string            `json:"icon,omitempty"`
	Images                 map[string]string `json:"images"` // by x86_64, arm64, armhf
	Fprocess               string            `json:"fprocess,omitempty"`
	RepoURL                string            `json:"repo_url"`
	ReadOnlyRootFilesystem bool              `json:"readOnlyRootFilesystem,omitempty"`
	Environment            map[string]string `json:"environment,omitempty"`
	Labels                 map[string]string `json:"labels,omitempty"`
	Annotations            map[string]string `json:"annotations,omitempty"`
}

// Function converts a deployment and validates it. ErrInvalid lists all faults.
func (d FunctionDeployment) Function() (Function, error) {
	f := Function{
		Key:   Key{Namespace: d.Namespace, Name: d.Service},
		Image: d.Image, Process: d.EnvProcess, Env: d.EnvVars,
		Constraints: d.Constraints, Secrets: d.Secrets,
		Labels: d.Labels, Annotations: d.Annotations,
		Limits: d.Limits, Requests: d.Requests, ReadOnlyRoot: d.ReadOnlyRootFilesystem,
	}
	if f.Namespace == "" {
		f.Namespace = DefaultNamespace
	}
	return f, f.Validate()
}

// Deployment is the inverse of FunctionDeployment.Function.
func (f Function) Deployment() FunctionDeployment {
	return FunctionDeployment{
		Service: f.Name, Image: f.Image, Namespace: f.Namespace,
		EnvProcess: f.Process, EnvVars: f.Env, Constraints: f.Constraints,
		Secrets: f.Secrets, Labels: f.Labels, Annotations: f.Annotations,
		Limits: f.Limits, Requests: f.Requests, ReadOnlyRootFilesystem: f.ReadOnlyRoot,
	}
}

// Wire converts a status to what the API answers, with the label that the
// platform adds.
func (s Status) Wire() FunctionStatus {
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[FunctionLabel] = s.Name
	return FunctionStatus{
		Name: s.Name, Image: s.Image, Namespace: s.Namespace,
		EnvProcess: s.Process, EnvVars: s.Env, Constraints: s.Constraints,
		Secrets: s.Secrets, Labels: labels, Annotations: s.Annotations,
		Limits: s.Limits, Requests: s.Requests, ReadOnlyRootFilesystem: s.ReadOnlyRoot,
		Replicas: s.Replicas, AvailableReplicas: s.Available,
		CreatedAt: s.Created, Problem: s.Problem,
	}
}
