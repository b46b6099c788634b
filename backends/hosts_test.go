package backends

import "testing"

func TestHostsThatAFunctionMayCallAreNamesAddressesAndRanges(t *testing.T) {
	for v, want := range map[string]int{
		"api.example.com": 1, "API.example.com:8443, *.example.org": 2, "10.0.0.0/8 db": 2, "127.0.0.1:80": 1, "[::1]:8080": 1, "fd00::/8": 1,
		"": 0, "*": 0, "*.": 0, "http://a": 0, "a b/c": 0, "a:0": 0, "a:65536": 0, "a:": 0, "2130706433": 0, "0x7f.1": 0, "127.1": 0, "a..b": 0, "-a": 0,
		"10.0.0.1/8": 0, "::ffff:127.0.0.1": 0, "fe80::1%eth0": 0, "a@b": 0, "ü.example": 0, "a.": 0,
	} {
		if rules, ok := ParseHosts(v); ok != (want > 0) || len(rules) != want {
			t.Errorf("%q gives %v, %v; want %d rules", v, rules, ok, want)
		}
	}
}
