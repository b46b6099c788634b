package backends

import (
	"math"
	"strconv"
	"strings"
)

// memoryUnits are the suffixes of Kubernetes quantities.
var memoryUnits = [...]struct {
	suffix string
	bytes  float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50}, {"Ei", 1 << 60},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18}, {"m", 1e-3}, {"", 1},
}

// ParseMemory reads a Kubernetes quantity of memory, such as 128Mi, 1.5G or
// 1048576, in bytes, rounded up. The field names it in an error.
func ParseMemory(field, text string) (int64, error) {
	for _, u := range memoryUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, ok := parseDecimal(number)
		if bytes := math.Ceil(n * u.bytes); ok && bytes > 0 && bytes < math.MaxInt64 {
			return int64(bytes), nil
		}
		break
	}
	return 0, &FieldError{field, text, "a quantity above 0 such as 128Mi, 1.5Gi or 64M"}
}

// ParseCPU reads a Kubernetes quantity of CPU, such as 100m, 0.5 or 2, in
// thousandths of a core, rounded up. The field names it in an error.
func ParseCPU(field, text string) (int64, error) {
	number, milli := strings.CutSuffix(text, "m")
	n, ok := parseDecimal(number)
	if !milli {
		n *= 1000
	}
	if n = math.Ceil(n); !ok || n <= 0 || n > 1e9 {
		return 0, &FieldError{field, text, "a quantity above 0 such as 100m, 0.5 or 2"}
	}
	return int64(n), nil
}

// parseDecimal reads digits with an optional fraction: no sign, no exponent.
func parseDecimal(s string) (float64, bool) {
	if s == "" || len(s) > 32 || strings.Trim(s, "0123456789.") != "" || strings.Count(s, ".") > 1 || s[0] == '.' || s[len(s)-1] == '.' {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// parseCount reads a whole number of 0 or more.
func parseCount(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

func itoa(n int) string { return strconv.Itoa(n) }
