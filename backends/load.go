package backends

import "time"

// Load is what one gateway counted of one function's calls. It is what the
// gateway hands to the scaler, in process and to other gateways.
type Load struct {
	Key       Key
	InFlight  int    // calls running or waiting now
	Started   uint64 // calls since the gateway first saw the function
	Completed uint64 // of those, the ones that have ended
}

// Scaling is what the scaler knows of one function.
type Scaling struct {
	Replicas int          `json:"replicas"`
	Want     int          `json:"want"`
	Reason   string       `json:"reason"` // of the latest decision
	Load     float64      `json:"load"`   // mean that it went by
	Events   []ScaleEvent `json:"events"` // newest last
}

// ScaleEvent is one change that the scaler asked for.
type ScaleEvent struct {
	Time   time.Time `json:"time"`
	From   int       `json:"from"`
	To     int       `json:"to"`
	Reason string    `json:"reason"`
	Error  string    `json:"error,omitempty"` // why it did not happen
}
