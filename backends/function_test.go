package backends_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

// whole makes a valid function with something in every field.
func whole() backends.Function {
	return backends.Function{
		Key:          backends.Key{Namespace: "blue", Name: "hello"},
		Image:        "registry.example:5000/a/b@sha256:00",
		Process:      "cat -",
		Env:          map[string]string{"A": "1", "multi": "a\nb", "empty": ""},
		Constraints:  []string{"node.arch == arm64"},
		Secrets:      []string{"token", "tls.crt"},
		Labels:       map[string]string{"a/b": "c", backends.LabelScaleMax: "5", backends.KeyTimeout: "5s"},
		Annotations:  map[string]string{"topic": "x,y", backends.KeyTimeout: "5s", backends.KeyOutput: "cgi"},
		Limits:       &backends.Resources{Memory: "64Mi", CPU: "100m", NvidiaGPU: "1"},
		Requests:     &backends.Resources{AMDGPU: "2", IntelGPU: "0"},
		ReadOnlyRoot: true,
	}
}

func TestAWholeFunctionIsValid(t *testing.T) {
	if err := whole().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryFieldThatIsWrong(t *testing.T) {
	many := map[string]string{}
	big := map[string]string{}
	for i := range 257 {
		many["k"+strings.Repeat("x", i)] = ""
	}
	for i := range 5 {
		big["k"+strings.Repeat("x", i)] = strings.Repeat("v", 60<<10)
	}
	for field, changes := range map[string][]func(*backends.Function){
		"service":   {func(f *backends.Function) { f.Name = "../x" }, func(f *backends.Function) { f.Name = "" }},
		"namespace": {func(f *backends.Function) { f.Namespace = "kube-system" }, func(f *backends.Function) { f.Namespace = "a.b" }},
		"image": {func(f *backends.Function) { f.Image = "" }, func(f *backends.Function) { f.Image = "a b" },
			func(f *backends.Function) { f.Image = "a\nb" }, func(f *backends.Function) { f.Image = "\xff" }, func(f *backends.Function) { f.Image = strings.Repeat("a", 1025) }},
		"envProcess": {func(f *backends.Function) { f.Process = "a\x00" }, func(f *backends.Function) { f.Process = strings.Repeat("a", 33<<10) }},
		"envVars": {func(f *backends.Function) { f.Env["a=b"] = "" }, func(f *backends.Function) { f.Env[""] = "" }, func(f *backends.Function) { f.Env["a b"] = "" },
			func(f *backends.Function) { f.Env = many }, func(f *backends.Function) { f.Env = big }},
		"envVars[A]": {func(f *backends.Function) { f.Env["A"] = "x\x00" }, func(f *backends.Function) { f.Env["A"] = "\xff" },
			func(f *backends.Function) { f.Env["A"] = strings.Repeat("a", 65<<10) }},
		"constraints": {func(f *backends.Function) { f.Constraints = []string{""} }},
		"secret name": {func(f *backends.Function) { f.Secrets = []string{"../x"} }},
		"secrets": {func(f *backends.Function) { f.Secrets = []string{"a", "a"} },
			func(f *backends.Function) { f.Secrets = slices.Sorted(maps.Keys(many))[:65] }},
		"labels": {func(f *backends.Function) { f.Labels["a b"] = "" }, func(f *backends.Function) { f.Labels[`x"} 1`] = "" },
			func(f *backends.Function) { f.Labels["com.hearth.tymeout"] = "1s" }, func(f *backends.Function) { f.Labels[strings.Repeat("a", 318)] = "" }},
		"annotations":                           {func(f *backends.Function) { f.Annotations["ü"] = "" }, func(f *backends.Function) { f.Annotations["com.hearth."] = "" }},
		"labels[com.hearth.timeout]":            {func(f *backends.Function) { f.Labels[backends.KeyTimeout] = "6s" }, func(f *backends.Function) { f.Labels[backends.KeyTimeout] = "0" }},
		"annotations[com.hearth.output]":        {func(f *backends.Function) { f.Annotations[backends.KeyOutput] = "CGI" }},
		"labels[com.openfaas.scale.max]":        {func(f *backends.Function) { f.Labels[backends.LabelScaleMax] = "-1" }},
		"limits.memory":                         {func(f *backends.Function) { f.Limits.Memory = "much" }},
		"limits.cpu":                            {func(f *backends.Function) { f.Limits.CPU = "-1" }},
		"limits.nvidia.com/gpu":                 {func(f *backends.Function) { f.Limits.NvidiaGPU = "0.5" }},
		"requests.amd.com/gpu":                  {func(f *backends.Function) { f.Requests.AMDGPU = "x" }},
		"annotations[com.hearth.scale.up-rate]": {func(f *backends.Function) { f.Annotations[backends.KeyScaleUpRate] = "0.5" }},
	} {
		for i, change := range changes {
			f := whole()
			change(&f)
			err := f.Validate()
			if !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), field+": ") {
				t.Errorf("%s, change %d: gave %.300v; want an error of kind invalid that names it", field, i, err)
			}
		}
	}
}

func TestValidateListsAllFaultsOnceAndAlwaysAlike(t *testing.T) {
	bad := func() backends.Function {
		return backends.Function{
			Key:         backends.Key{Name: "UP"},
			Labels:      map[string]string{backends.KeyTimeout: "x", backends.KeyMaxQueue: "x", backends.LabelScaleMin: "x", "com.hearth.a": ""},
			Annotations: map[string]string{backends.KeyMaxInflight: "x", backends.KeyMaxQueue: "y", "com.hearth.b": ""},
			Limits:      &backends.Resources{NvidiaGPU: "x", AMDGPU: "x", IntelGPU: "x", CPU: "x", Memory: "x"},
		}
	}
	want := bad().Validate().Error()
	for range 20 {
		if got := bad().Validate().Error(); got != want {
			t.Fatalf("the same function gave\n%s\nand\n%s", got, want)
		}
	}
	fields := map[string]int{}
	for fault := range strings.SplitSeq(want, "; ") {
		fields[fault]++
		if fields[fault] > 1 {
			t.Errorf("%s: listed twice", fault)
		}
	}
	if n := strings.Count(want, "com.hearth.timeout]"); n != 1 || len(fields) != 15 {
		t.Errorf("%d faults, com.hearth.timeout in %d of them; want 15 and 1:\n%s", len(fields), n, want)
	}
}

func TestTheTableOfKeysIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range backends.Keys() {
		if seen[k.Name] || !strings.HasPrefix(k.Name, "com.hearth.") || k.Allowed == "" || k.Meaning == "" {
			t.Errorf("%+v is listed twice, or a part is missing", k)
		}
		seen[k.Name] = true
		f := whole()
		delete(f.Labels, k.Name)
		if f.Annotations[k.Name] = "\x00"; f.Validate() == nil {
			t.Errorf("%s: NUL is allowed", k.Name)
		}
	}
}

func TestAnAnnotationGoesBeforeALabel(t *testing.T) {
	f := backends.Function{Labels: map[string]string{"a": "label", "b": "label"}, Annotations: map[string]string{"a": "annotation"}}
	for key, want := range map[string]string{"a": "annotation", "b": "label", "c": ""} {
		if got := f.Value(key); got != want {
			t.Errorf("Value(%s) is %q; want %q", key, got, want)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	f := whole()
	c := f.Clone()
	if !reflect.DeepEqual(c, f) {
		t.Fatalf("the clone is %+v; want %+v", c, f)
	}
	c.Env["A"], c.Labels["a/b"], c.Annotations["topic"], c.Constraints[0], c.Secrets[0] = "x", "x", "x", "x", "x"
	c.Limits.Memory, c.Requests.AMDGPU = "x", "x"
	if !reflect.DeepEqual(f, whole()) {
		t.Errorf("a change of the clone made the function %+v", f)
	}
	if none := (backends.Function{}).Clone(); !reflect.DeepEqual(none, backends.Function{}) {
		t.Errorf("the clone of nothing is %+v", none)
	}
}

func TestTheWireCarriesAFunctionThereAndBack(t *testing.T) {
	f := whole()
	text, err := json.Marshal(f.Deployment())
	if err != nil {
		t.Fatal(err)
	}
	var d backends.FunctionDeployment
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Function(); err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("it came back as %+v, %v; want %+v", got, err, f)
	}
	d.Namespace = ""
	if got, err := d.Function(); err != nil || got.Namespace != backends.DefaultNamespace {
		t.Errorf("no namespace became %q, %v; want the default one", got.Namespace, err)
	}
	d.Service = "UP"
	if _, err := d.Function(); !errors.Is(err, backends.ErrInvalid) {
		t.Errorf("a broken name gave %v; want an error of kind invalid", err)
	}
}

func TestAStatusOnTheWireHasNoEmptyKeys(t *testing.T) {
	s := backends.Status{Function: backends.Function{Key: backends.Key{Namespace: "blue", Name: "hello"}, Image: "hello"},
		Created: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	text, err := json.Marshal(s.Wire())
	want := `{"name":"hello","image":"hello","namespace":"blue","labels":{"faas_function":"hello"},"createdAt":"2026-07-01T12:00:00Z"}`
	if err != nil || string(text) != want {
		t.Errorf("gave %s, %v; want %s", text, err, want)
	}
	full := backends.Status{Function: whole(), Replicas: 3, Available: 2, Problem: "starting"}
	w := full.Wire()
	if w.Replicas != 3 || w.AvailableReplicas != 2 || w.Problem != "starting" || w.Labels["faas_function"] != "hello" || w.Labels["a/b"] != "c" {
		t.Errorf("gave %+v", w)
	}
	if _, added := full.Labels["faas_function"]; added {
		t.Error("Wire changed the status itself")
	}
}

func TestStatusesAreSortedByNamespaceAndName(t *testing.T) {
	var list []backends.Status
	for _, k := range []string{"b.y", "a.z", "a.y", "c.x"} {
		key, err := backends.ParseKey(k)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, backends.Status{Function: backends.Function{Key: key}})
	}
	backends.SortStatuses(list)
	var got []string
	for _, s := range list {
		got = append(got, s.Key.String())
	}
	if want := []string{"c.x", "a.y", "b.y", "a.z"}; !slices.Equal(got, want) {
		t.Errorf("sorted as %v; want %v", got, want)
	}
}

// FuzzDeployment: no body panics, what is accepted is stored and read again as
// it was, and the key is one that ParseKey accepts.
func FuzzDeployment(f *testing.F) {
	text, err := json.Marshal(whole().Deployment())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range []string{`{}`, `null`, `[]`, `{"service":"a","image":"b"}`, `{"service":"a","image":"b","labels":null,"limits":{}}`,
		`{"service":"a","image":"b","limits":{"memory":"9Ei"},"replicas":-1,"SERVICE":"B"}`, `{"service":"\ud800","image":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d backends.FunctionDeployment
		if json.Unmarshal(body, &d) != nil {
			return
		}
		fn, err := d.Function()
		if err != nil {
			if !errors.Is(err, backends.ErrInvalid) {
				t.Fatalf("%v is not of kind invalid", err)
			}
			return
		}
		if key, err := backends.ParseKey(fn.Key.String()); err != nil || key != fn.Key {
			t.Fatalf("a valid function has the key %q: %v", fn.Key, err)
		}
		text, err := json.Marshal(fn.Deployment())
		if err != nil {
			t.Fatal(err)
		}
		var stored backends.FunctionDeployment
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		again, err := stored.Function()
		if err != nil {
			t.Fatalf("it is invalid after a round: %v", err)
		}
		if text2, err := json.Marshal(again.Deployment()); err != nil || string(text2) != string(text) {
			t.Fatalf("%s became %s, %v", text, text2, err)
		}
	})
}
