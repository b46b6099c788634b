// Package scaler decides how many replicas a function should have, from the
// load that the gateway counts and the policy that the function's labels state.
//
// It promises that a decision depends on nothing but policy, window, present
// replicas and time, that missing data never changes anything, and that every
// decision says why. It does not wake functions: from zero is the gateway's, on
// the first call.
package scaler
