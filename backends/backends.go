// Package backends is the vocabulary of the system: what a function is, what a
// backend can do with it, how the gateway learns where it answers, and which
// errors may come out of all that. It imports only the standard library, and
// everything else imports it.
//
// A backend owns the truth about functions (a directory, Kubernetes objects,
// Nomad jobs). The gateway never asks it on the way of a call: it reads a table
// that Watch feeds. A backend may therefore be slow or away without a function
// ceasing to answer.
package backends

import (
	"context"
	"io"
	"iter"
	"time"
)

// Backend runs functions somewhere. All methods honour ctx, are safe for
// concurrent use, and return errors that match the Err kinds of this package.
type Backend interface {
	// Deploy makes a function that does not exist. ErrExists if it does,
	// ErrInvalid if the function cannot be run here, ErrNotFound if its
	// namespace or one of its secrets is unknown.
	Deploy(ctx context.Context, f Function) error
	// Update replaces the function of that key, keeping its replicas unless
	// the scale.min label asks for more. ErrNotFound if there is none.
	Update(ctx context.Context, f Function) error
	// Delete removes the function. ErrNotFound if there is none.
	Delete(ctx context.Context, key Key) error
	// Get gives the function's present state. ErrNotFound if there is none.
	Get(ctx context.Context, key Key) (Status, error)
	// List gives all functions of a namespace sorted by name, or of every
	// namespace, sorted by namespace and name, when namespace is empty.
	List(ctx context.Context, namespace string) ([]Status, error)
	// Scale sets the number of replicas: absolute, idempotent, 0 allowed.
	// ErrInvalid if negative or above MaxReplicas.
	Scale(ctx context.Context, key Key, replicas int) error
	// Watch feeds the table until ctx ends and returns ctx's error. It calls
	// Replace first and after any gap, and never empties the table because of
	// an outage: entries are then set again with Stale true. A change made
	// through this value is in the table before the call that made it returns
	// if the backend is the only writer, else as soon as the backend sees it.
	Watch(ctx context.Context, t Table) error
	// Powers tells what this backend can do beyond functions.
	Powers() Powers
	// Info names the backend to clients.
	Info() Info
}

// MaxReplicas bounds what Scale accepts: far above sense, far below overflow.
const MaxReplicas = 100_000

// Powers are the abilities a backend may have; a nil one is answered with 501.
type Powers struct {
	Secrets    Secrets
	Namespaces Namespaces
	Logs       Logs
	Usage      UsageReader
	Leaser     Leaser
	Peers      Peers
	Modules    Modules
	Store      Store
}

// Info names a backend to clients, in the words of /system/info.
type Info struct {
	Name          string // provider, such as "hearth-local"
	Orchestration string // what runs the functions, such as "local"
}

// Secret is a named value that functions may be given.
type Secret struct {
	Namespace string
	Name      string
	Value     []byte
}

// Secrets stores secrets. Values never leave through HTTP.
type Secrets interface {
	// List gives the names in a namespace, sorted.
	List(ctx context.Context, namespace string) ([]string, error)
	// Create stores a new secret. ErrExists if the name is taken.
	Create(ctx context.Context, s Secret) error
	// Update replaces the value; running functions see it without a restart.
	// ErrNotFound if there is none.
	Update(ctx context.Context, s Secret) error
	// Delete removes it. ErrNotFound if there is none.
	Delete(ctx context.Context, namespace, name string) error
	// Read gives the value to the host of in-process functions. It is not
	// reachable over HTTP. ErrNotFound if there is none.
	Read(ctx context.Context, namespace, name string) ([]byte, error)
}

// Namespace is a place for functions and secrets.
type Namespace struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
}

// Namespaces lists and changes namespaces. The default one always exists and
// can be neither created nor deleted.
type Namespaces interface {
	// List gives all function namespaces sorted by name.
	List(ctx context.Context) ([]string, error)
	Get(ctx context.Context, name string) (Namespace, error)
	Create(ctx context.Context, n Namespace) error
	Update(ctx context.Context, n Namespace) error
	// Delete removes an empty namespace. ErrConflict while it has functions or
	// secrets.
	Delete(ctx context.Context, name string) error
}

// LogQuery selects lines of one function's log.
type LogQuery struct {
	Key      Key
	Instance string    // only this replica's lines; empty = all
	Tail     int       // only the last so many; 0 or less = all
	Since    time.Time // only lines at or after; zero = all
	Follow   bool      // go on with new lines until ctx ends
}

// LogLine is one line that a function wrote, without its line end.
type LogLine struct {
	Key      Key
	Instance string
	Time     time.Time
	Text     string
}

// Logs reads what functions wrote. The sequence ends at the last line, with
// ctx, or after a non-nil error. ErrNotFound for an unknown function.
type Logs interface {
	Logs(ctx context.Context, q LogQuery) iter.Seq2[LogLine, error]
}

// Usage is what one function consumes now, over all its replicas.
type Usage struct {
	MilliCPU    float64 // thousandths of a core
	MemoryBytes float64
}

// UsageReader measures functions. ErrNotFound for an unknown function,
// ErrUnavailable when there is no fresh figure.
type UsageReader interface {
	Usage(ctx context.Context, key Key) (Usage, error)
}

// Leaser gives one of several gateways a role, one at a time.
type Leaser interface {
	// Acquire waits until the role of that name is ours or ctx ends.
	Acquire(ctx context.Context, name string) (Lease, error)
}

// Lease is a role held for a while and renewed by its holder in the background.
type Lease interface {
	// Term grows with every holder: a write that carries a lower one is late.
	Term() int64
	// Expires is until when nobody else can hold the role; it moves with every
	// renewal. It is a reading of this process' monotonic clock.
	Expires() time.Time
	// Lost is closed before another holder can exist.
	Lost() <-chan struct{}
	// Release ends it at once.
	Release(ctx context.Context) error
}

// Peers finds the other gateways that serve the same functions.
type Peers interface {
	// Peers gives the host:port of each one's internal listener, without our
	// own, sorted. An error means that they are not known now.
	Peers(ctx context.Context) ([]string, error)
}

// Module is a stored WebAssembly module.
type Module struct {
	Image  string `json:"image"`  // module@sha256:HEX, what a function names as its image
	Digest string `json:"digest"` // sha256:HEX
	Size   int64  `json:"size"`   // bytes
}

// Modules stores uploaded modules.
type Modules interface {
	// Put reads a module to its end, checks and stores it. Storing the same
	// bytes again is not an error. ErrTooLarge above the limit, ErrInvalid if
	// it cannot be a function.
	Put(ctx context.Context, r io.Reader) (Module, error)
}

// Store lists functions that can be deployed by name.
type Store interface {
	StoreFunctions() []StoreFunction
}
