package backends

import (
	"net/netip"
	"strconv"
	"strings"
)

// HostRule lets a function call out to a host, or to the hosts of a range of addresses.
type HostRule struct {
	Name     string       // lower case, or an address as netip prints it; empty for a range
	Below    bool         // any name below Name, and not Name itself
	Port     uint16       // 0 = 80 and 443
	Prefix   netip.Prefix // listed names may have these addresses although they are internal
	HasRange bool
}

// ParseHosts reads the value of KeyAllowHTTP: hosts parted by commas or spaces. False when one is not a host.
func ParseHosts(v string) (rules []HostRule, ok bool) {
	for _, word := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		r, ok := parseHost(word)
		if !ok {
			return nil, false
		}
		rules = append(rules, r)
	}
	return rules, len(rules) > 0
}

func parseHost(word string) (r HostRule, ok bool) {
	if strings.Contains(word, "/") {
		p, err := netip.ParsePrefix(word)
		return HostRule{Prefix: p, HasRange: true}, err == nil && p == p.Masked() && !p.Addr().Is4In6()
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return HostRule{Name: a.String()}, a.Zone() == "" && !a.Is4In6()
	}
	if a, err := netip.ParseAddrPort(word); err == nil {
		return HostRule{Name: a.Addr().String(), Port: a.Port()}, a.Port() > 0 && a.Addr().Zone() == "" && !a.Addr().Is4In6()
	}
	name, port, found := strings.Cut(word, ":")
	if found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return r, false
		}
		r.Port = uint16(n)
	}
	r.Name, r.Below = strings.CutPrefix(strings.ToLower(name), "*.")
	return r, isHostName(r.Name)
}

// isHostName tells whether a name may be looked up: not one that some systems read as an address (2130706433, 0x7f.1).
func isHostName(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, b := range []byte(l) {
			if b != '-' && b != '_' && (b < '0' || b > '9') && (b < 'a' || b > 'z') {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return len(name) <= 253 && (last[0] < '0' || last[0] > '9')
}
