package backends

// Table is what Watch feeds: the gateway's routing table, or a wrapper of it.
// No method waits for anything but a mutex.
type Table interface {
	// Replace makes the table hold these entries and no others.
	Replace(entries []Entry)
	// Set adds or replaces the entry of that key.
	Set(e Entry)
	// Delete removes the entry of that key, if any.
	Delete(key Key)
}

// Entry is where one function answers now.
type Entry struct {
	Status Status
	// Endpoints are the ready replicas reached over a network or a socket.
	Endpoints []Endpoint
	// Handler answers in this process; it goes before Endpoints. It works at
	// zero replicas too: a parked function is loaded by its first call.
	Handler Handler
	// Stale says that the backend could not be asked lately.
	Stale bool
}

// Endpoint is one replica of a function reached over a socket.
type Endpoint struct {
	Network  string // "tcp" or "unix"
	Addr     string // host:port or a socket's path
	Prefix   string // put before the path, such as /function/NAME of another gateway
	Instance string // the replica's name in logs
	TLS      bool
}
