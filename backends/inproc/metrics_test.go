package inproc

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsNameOnlyDeployedFunctions(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	n := startNode(t, t.TempDir(), func(c *Config) { c.Registry = registry })
	for _, name := range []string{"a", "b", "idle"} {
		must(t, n.Deploy(t.Context(), fn(name, "store/cat")))
	}
	n.call(t, "a", "x")
	n.call(t, "b", "x")
	must(t, n.Update(t.Context(), fn("a", "store/echo")))
	n.call(t, "a", "x")
	must(t, n.Delete(t.Context(), fn("b", "").Key))
	failing := fn("idle", "store/alpine")
	failing.Process = "false"
	must(t, n.Update(t.Context(), failing))
	for range 2 {
		if answer, err := invoke(t.Context(), n.entry("idle").Handler, ""); err == nil {
			t.Errorf("false answered %q", answer)
		}
	}
	want := `
# HELP hearth_function_failures_total Calls that the function's module did not answer, by reason.
# TYPE hearth_function_failures_total counter
hearth_function_failures_total{function_name="idle.openfaas-fn",reason="exit"} 2
# HELP hearth_function_instances_made_total Instances made since the function was deployed or the process started.
# TYPE hearth_function_instances_made_total counter
hearth_function_instances_made_total{function_name="a.openfaas-fn"} 2
hearth_function_instances_made_total{function_name="idle.openfaas-fn"} 1
# HELP hearth_functions_loaded Functions whose module is in memory.
# TYPE hearth_functions_loaded gauge
hearth_functions_loaded 2
# HELP hearth_module_load_failures_total Loads that failed.
# TYPE hearth_module_load_failures_total counter
hearth_module_load_failures_total 0
# HELP hearth_module_loads_total Modules loaded into memory.
# TYPE hearth_module_loads_total counter
hearth_module_loads_total 5
# HELP hearth_modules_stored Modules on the disk.
# TYPE hearth_modules_stored gauge
hearth_modules_stored 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "hearth_function_failures_total", "hearth_function_instances_made_total", "hearth_functions_loaded",
		"hearth_module_load_failures_total", "hearth_module_loads_total", "hearth_modules_stored"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
