package scaler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"hearth/backends"
)

const (
	peerTimeout = 300 * time.Millisecond
	maxPeers    = 64
	maxPeerBody = 32 << 20 // bytes of one peer's loads
)

// LoadPath is where a gateway's internal listener serves its loads, as a JSON
// array of backends.Load.
const LoadPath = "/internal/load"

// peerLoads asks every other gateway for its loads, at once. complete is false
// if any that is known did not answer: then nobody may conclude anything.
func (s *Scaler) peerLoads(ctx context.Context) (loads map[string][]backends.Load, complete bool) {
	if s.cfg.Peers == nil {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	peers, err := s.cfg.Peers.Peers(ctx)
	if err != nil || len(peers) > maxPeers {
		s.cfg.Logger.Debug("the other gateways are not known", "count", len(peers), "error", err)
		return nil, false
	}
	answers, wait := make([][]backends.Load, len(peers)), sync.WaitGroup{}
	for i, addr := range peers {
		wait.Go(func() {
			loads, err := s.askPeer(ctx, addr)
			if err != nil {
				s.cfg.Logger.Debug("a gateway does not tell its load", "peer", addr, "error", err)
				return
			}
			answers[i] = loads
		})
	}
	wait.Wait()
	loads, complete = make(map[string][]backends.Load, len(peers)), true
	for i, addr := range peers {
		complete = complete && answers[i] != nil
		loads[addr] = answers[i]
	}
	return loads, complete
}

// askPeer gets one gateway's loads; never nil without an error.
func (s *Scaler) askPeer(ctx context.Context, addr string) ([]backends.Load, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+LoadPath, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.PeerToken)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	body := io.LimitReader(resp.Body, maxPeerBody)
	loads := []backends.Load{}
	if err := json.NewDecoder(body).Decode(&loads); err != nil {
		return nil, fmt.Errorf("its loads cannot be read: %w", err)
	}
	return loads, nil
}
