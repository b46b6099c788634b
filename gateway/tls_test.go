package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

// newCertificate makes a certificate for 127.0.0.1 and a pool that trusts it.
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestOverTLSEverythingIsAsWithout(t *testing.T) {
	certificate, pool := newCertificate(t)
	cfg := testConfig()
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	m := newMemoryBackend()
	m.more = make(chan backends.LogLine)
	cfg.Backend = m
	g, url := serve(t, cfg)
	setFunction(g, "echo", echo)
	url = "https" + strings.TrimPrefix(url, "http")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	send := func(method, path, body string) *http.Response {
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("admin", "secret")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := send("POST", "/function/echo", "hello"); resp.StatusCode != 200 || resp.ProtoMajor != 1 {
		t.Errorf("call: got %s %s", resp.Proto, resp.Status)
	}
	if resp := send("POST", "/system/functions", `{"service":"cat","image":"cat"}`); resp.StatusCode != 202 {
		t.Errorf("deploy: got %s", resp.Status)
	}
	if resp := send("GET", "/system/logs?name=cat&follow=1", ""); resp.StatusCode != 200 { // and its reader leaves
		t.Errorf("logs: got %s", resp.Status)
	}
	old := &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}
