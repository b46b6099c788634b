package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hearth/backends"
)

// alertBody is what we read of an Alertmanager webhook, version 3 or 4.
type alertBody struct {
	Status string `json:"status"`
	Alerts []struct {
		Status string            `json:"status"`
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

const (
	maxAlerts   = 1000
	alertFiring = "firing"
)

// alert scales by alerts, as OpenFaaS' free edition does: a firing one adds a
// step of com.openfaas.scale.factor per cent of the most replicas, any other
// goes back to the fewest. Only a function that carries that label itself is
// scaled so, and the autoscaler leaves it alone: the two never fight. Unknown
// functions are passed over: an alert may outlive its function.
func (s *system) alert(c *call) error {
	var body alertBody
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		if isKind(err, backends.ErrTooLarge) {
			return err
		}
		return backends.Errorf(backends.ErrInvalid, "Unable to parse alert, bad format. %v", err)
	}
	if n := len(body.Alerts); n > maxAlerts {
		return &backends.FieldError{Field: "alerts", Value: fmt.Sprintf("%d alerts", n), Allowed: fmt.Sprintf("at most %d", maxAlerts)}
	}
	var failures []string
	status := http.StatusInternalServerError
	for i, a := range body.Alerts {
		key, err := backends.ParseKey(a.Labels["function_name"])
		if err == nil {
			err = s.scaleByAlert(c, key, a.Status == alertFiring)
		}
		switch {
		case err == nil, isKind(err, backends.ErrNotFound):
		case isKind(err, backends.ErrInvalid) && key == backends.Key{}:
			s.log.Debug("alert without a function", "error", err)
		default:
			failures = append(failures, fmt.Sprintf("[%d] %v", i, err))
			if isKind(err, backends.ErrUnavailable) {
				status = http.StatusServiceUnavailable
			}
		}
	}
	if len(failures) > 0 {
		return &statusError{status, errors.New(strings.Join(failures, "\n"))}
	}
	return nil
}

// scaleByAlert sets the replicas of one function if the alert changes them.
func (s *system) scaleByAlert(c *call, key backends.Key, firing bool) error {
	status, err := s.cfg.Backend.Get(c.ctx, key)
	if err != nil {
		return err
	}
	if _, given := status.Labels[backends.LabelScaleFactor]; !given {
		return nil
	}
	defaults := s.cfg.Scale
	if defaults.Max == 0 {
		defaults = backends.DefaultScale
	}
	policy, err := backends.ScalePolicyOf(status.Function, defaults)
	if err != nil {
		return err
	}
	want := afterAlert(policy, status.Replicas, firing)
	if want == status.Replicas {
		return nil
	}
	if err := s.cfg.Backend.Scale(c.ctx, key, want); err != nil {
		return err
	}
	s.log.Info("function scaled by an alert", "function", key, "replicas", want, "before", status.Replicas, "firing", firing)
	return nil
}

// afterAlert gives the replicas that an alert leads to. A function at zero is
// left to its calls, which wake it; one above its most is not made smaller by
// an alert that asks for more.
func afterAlert(p backends.ScalePolicy, have int, firing bool) int {
	step := (p.Max*p.Factor + 99) / 100
	switch {
	case step == 0 || have == 0:
		return have
	case firing:
		return max(have, min(have+step, p.Max))
	}
	return p.Min
}
