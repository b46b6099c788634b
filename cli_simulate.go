package main

import (
	"os"
	"time"

	"hearth/backends"
	"hearth/scaler/simulation"
)

// simulateCommand shows what a set of labels does to a load, without a server.
type simulateCommand struct {
	Trace       string            `placeholder:"FILE" type:"existingfile" help:"CSV file with a call per line: arrival and duration, in seconds or as durations."`
	Shape       string            `default:"steady" help:"Without a trace: steady, burst, diurnal, on-off or heavy-tail."`
	Rate        float64           `default:"50" help:"Mean calls a second of a shape."`
	For         time.Duration     `default:"10m" help:"Length of a shape."`
	Duration    time.Duration     `default:"100ms" help:"Mean duration of a shape's calls."`
	Seed        uint64            `default:"1" help:"Another seed is another trace of the same shape."`
	Label       map[string]string `short:"l" placeholder:"KEY=VALUE" mapsep:"none" help:"A function's label, such as com.openfaas.scale.target=10; may be repeated."`
	ColdStart   time.Duration     `default:"1s" help:"From ordering a replica to its first call."`
	Concurrency int               `default:"0" help:"Calls that a replica runs at once; 0 = no limit."`
	SVG         string            `name:"svg" placeholder:"FILE" help:"Write the plot as a picture too."`
	Width       int               `default:"100" help:"Columns of the plot."`
}

// Run prints the figures and the plot.
func (s *simulateCommand) Run(p *process) error {
	f := backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: "simulated"}, Image: "simulated", Labels: s.Label}
	if err := f.Validate(); err != nil {
		return &usageError{err}
	}
	policy, err := backends.ScalePolicyOf(f, backends.DefaultScale)
	if err != nil {
		return &usageError{err}
	}
	calls, err := s.calls()
	if err != nil {
		return &usageError{err}
	}
	result := simulation.Run(simulation.Config{
		Policy: policy, Calls: calls, ColdStart: s.ColdStart, Concurrency: s.Concurrency, Replicas: max(policy.Min, policy.Initial),
	})
	if err := result.WriteTable(p.stdout); err != nil {
		return err
	}
	if err := result.WritePlot(p.stdout, s.Width); err != nil || s.SVG == "" {
		return err
	}
	picture, err := os.Create(s.SVG)
	if err != nil {
		return err
	}
	if err := result.WriteSVG(picture); err != nil {
		return err
	}
	return picture.Close()
}

// calls reads or makes the trace.
func (s *simulateCommand) calls() ([]simulation.Call, error) {
	if s.Trace == "" {
		return simulation.Generate(simulation.Load{Shape: s.Shape, Rate: s.Rate, For: s.For, Takes: s.Duration, Seed: s.Seed})
	}
	file, err := os.Open(s.Trace)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return simulation.ReadCSV(file)
}
