package bmc

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"kadeploy/coordinator/internal/cluster"
)

// service is a Redfish service of one computer system, as DMTF's DSP0266 describes
// it: no such service is packaged for Debian. It insists on what the standard insists on.
type service struct {
	mu    sync.Mutex
	power string
	did   []string
}

var resets = []string{"On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle"}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, body func() string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body())
		})
	}
	text := func(s string) func() string { return func() string { return s } }
	get("/redfish/v1/{$}", text(`{"@odata.id":"/redfish/v1/","@odata.type":"#ServiceRoot.v1_5_0.ServiceRoot","Id":"RootService","Name":"Root","RedfishVersion":"1.6.0","Systems":{"@odata.id":"/redfish/v1/Systems"}}`))
	get("/redfish/v1/Systems", text(`{"@odata.id":"/redfish/v1/Systems","Name":"Systems","Members@odata.count":1,"Members":[{"@odata.id":"/redfish/v1/Systems/1"}]}`))
	get("/redfish/v1/Systems/1", func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		allowed, _ := json.Marshal(resets)
		return fmt.Sprintf(`{"@odata.id":"/redfish/v1/Systems/1","@odata.type":"#ComputerSystem.v1_10_0.ComputerSystem","Id":"1","Name":"System","PowerState":%q,
			"Actions":{"#ComputerSystem.Reset":{"target":"/redfish/v1/Systems/1/Actions/ComputerSystem.Reset","ResetType@Redfish.AllowableValues":%s}}}`, s.power, allowed)
	})
	mux.HandleFunc("POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset", s.reset)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.URL.Path != "/redfish/v1/" && (user != "admin" || password != "secret") {
			http.Error(w, `{"error":{"code":"Base.1.8.InsufficientPrivilege","message":"unauthorized"}}`, http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *service) reset(w http.ResponseWriter, r *http.Request) {
	var body struct{ ResetType string }
	err := json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	off := s.power == "Off"
	switch {
	case err != nil || !slices.Contains(resets, body.ResetType):
		http.Error(w, `{"error":{"code":"Base.1.8.ActionParameterNotSupported","message":"no such reset"}}`, http.StatusBadRequest)
		return
	case off && body.ResetType != "On": // DSP0268: the others want a system that is on
		http.Error(w, `{"error":{"code":"Base.1.8.GeneralError","message":"the system is off"}}`, http.StatusConflict)
		return
	case strings.HasSuffix(body.ResetType, "Off") || body.ResetType == "GracefulShutdown":
		s.power = "Off"
	default:
		s.power = "On"
	}
	s.did = append(s.did, body.ResetType)
	w.WriteHeader(http.StatusNoContent)
}

func startRedfish(t *testing.T) machine {
	s := &service{power: "On"}
	server := httptest.NewTLSServer(s.handler())
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return machine{
		bmc:  cluster.BMC{Driver: cluster.Redfish, User: "admin", Password: "secret", CA: ca},
		host: strings.TrimPrefix(server.URL, "https://"),
		did: func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Clone(s.did)
		},
	}
}

// TestRedfishGentleRestart: what IPMI lacks.
func TestRedfishGentleRestart(t *testing.T) {
	m := startRedfish(t)
	if _, err := Do(t.Context(), m.bmc, m.host, GentleRestart); err != nil {
		t.Fatal(err)
	}
	if did := m.did(); !slices.Equal(did, []string{"GracefulRestart"}) {
		t.Errorf("the system was told %v, want GracefulRestart", did)
	}
}

// TestRedfishCertificate: a controller whose certificate nobody vouches for gets no password.
func TestRedfishCertificate(t *testing.T) {
	m := startRedfish(t)
	unknown := m.bmc
	unknown.CA = nil
	if _, err := Do(t.Context(), unknown, m.host, Off); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown certificate: %v", err)
	}
	unknown.Insecure = true
	if answer, err := Do(t.Context(), unknown, m.host, Status); err != nil || answer != "on" {
		t.Errorf("insecure: %q, %v", answer, err)
	}
	broken := m.bmc
	broken.CA = []byte("no certificate")
	if _, err := webClient(broken); err == nil {
		t.Error("a CA file without a certificate was accepted")
	}
	if c, err := webClient(m.bmc); err != nil || c.Transport.(*http.Transport).TLSClientConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("client of a good configuration: %v", err)
	}
}
