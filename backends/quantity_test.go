package backends_test

import (
	"errors"
	"testing"

	"hearth/backends"
)

func TestMemoryIsReadAsKubernetesReadsIt(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "128Mi": 128 << 20, "1.5Gi": 3 << 29, "64M": 64e6, "1k": 1000, "1Ki": 1024, "2T": 2e12,
		"0.5Ki": 512, "1500m": 2, "1m": 1, "3Ti": 3 << 40, "1P": 1e15, "1Pi": 1 << 50, "1E": 1e18, "1Ei": 1 << 60, "1G": 1e9,
	} {
		if got, err := backends.ParseMemory("memory", text); err != nil || got != want {
			t.Errorf("ParseMemory(%q) gave %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0Mi", "-1", "+1", "1e6", "128MB", "128mi", "Mi", "1 Mi", ".5Mi", "5.Mi", "1.2.3", "9Ei", "8Ei", "NaN", "Inf",
		"1111111111111111111111111111111111111111", "1\x00"} {
		if got, err := backends.ParseMemory("limits.memory", text); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("ParseMemory(%q) gave %d, %v; want an error of kind invalid", text, got, err)
		}
	}
}

func TestCPUIsReadInThousandthsOfACore(t *testing.T) {
	for text, want := range map[string]int64{"100m": 100, "0.5": 500, "2": 2000, "0.0001": 1, "1.5m": 2, "1000000": 1e9} {
		if got, err := backends.ParseCPU("cpu", text); err != nil || got != want {
			t.Errorf("ParseCPU(%q) gave %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0m", "m", "-1", "1e3", "1 m", "1000001", "1k", "1mm"} {
		if got, err := backends.ParseCPU("limits.cpu", text); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("ParseCPU(%q) gave %d, %v; want an error of kind invalid", text, got, err)
		}
	}
}

func FuzzQuantities(f *testing.F) {
	for _, s := range []string{"", "1", "128Mi", "1.5Gi", "100m", "9Ei", "1e9", "-1", "0.0000000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for what, parse := range map[string]func(string, string) (int64, error){"memory": backends.ParseMemory, "cpu": backends.ParseCPU} {
			n, err := parse(what, text)
			if err == nil && n <= 0 || err != nil && (n != 0 || !errors.Is(err, backends.ErrInvalid)) {
				t.Fatalf("%s %q gave %d, %v", what, text, n, err)
			}
		}
	})
}
