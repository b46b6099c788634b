package main

import (
	"net"
	"strconv"
	"time"

	"hearth/backends"
)

// valueError is a value that is not allowed; who reads it adds the name under
// which the value was given.
type valueError struct{ value, allowed string }

func (e *valueError) Error() string {
	return strconv.Quote(e.value) + " is not allowed: " + e.allowed
}

// duration is a Go duration or a whole number of seconds, as OpenFaaS has it.
type duration time.Duration

// UnmarshalText reads a duration from above 0 up to 24h.
func (d *duration) UnmarshalText(text []byte) error {
	v, ok := backends.ParseDuration(string(text))
	if !ok || v <= 0 || v > 24*time.Hour {
		return &valueError{string(text), "a duration above 0 and up to 24h, such as 30s, 2m or a number of seconds"}
	}
	*d = duration(v)
	return nil
}

func (d duration) String() string { return time.Duration(d).String() }

// delay is a duration that may be nothing.
type delay time.Duration

// UnmarshalText reads a duration up to 1h.
func (d *delay) UnmarshalText(text []byte) error {
	v, ok := backends.ParseDuration(string(text))
	if !ok || v > time.Hour {
		return &valueError{string(text), "a duration up to 1h, such as 5s or 0"}
	}
	*d = delay(v)
	return nil
}

func (d delay) String() string { return time.Duration(d).String() }

// size is a number of bytes, written as a Kubernetes quantity.
type size int64

// UnmarshalText reads a quantity of memory; 0 is left to validate.
func (s *size) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*s = 0
		return nil
	}
	n, err := backends.ParseMemory("", string(text))
	if err != nil || n > 1<<50 {
		return &valueError{string(text), "a size such as 16Mi, 1.5Gi or 64M"}
	}
	*s = size(n)
	return nil
}

// String writes the size with the largest binary unit that is exact.
func (s size) String() string {
	units := [...]string{"", "Ki", "Mi", "Gi", "Ti"}
	n, u := int64(s), 0
	for n != 0 && n%1024 == 0 && u < len(units)-1 {
		n, u = n/1024, u+1
	}
	return strconv.FormatInt(n, 10) + units[u]
}

// address is HOST:PORT to listen on; the host is an IP address, a name or
// empty for every address of the machine.
type address string

// UnmarshalText checks the form; a bare port or :port means every address.
func (a *address) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || strconv.FormatUint(n, 10) != port {
		return &valueError{string(text), "HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080 or :8080"}
	}
	*a = address(net.JoinHostPort(host, port))
	return nil
}

// loopback reports whether only this machine can reach the address.
func (a address) loopback() bool {
	host, _, _ := net.SplitHostPort(string(a))
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
