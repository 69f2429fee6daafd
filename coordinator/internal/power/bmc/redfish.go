package bmc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/redfish"

	"kadeploy/coordinator/internal/cluster"
)

// redfishSystem is the one computer system of a controller.
type redfishSystem struct {
	api    *gofish.APIClient
	system *redfish.ComputerSystem
}

func openRedfish(ctx context.Context, b cluster.BMC, host string) (_ controller, err error) {
	name, port, err := address(host, standardWebPort)
	if err != nil {
		return nil, err
	}
	web, err := webClient(b)
	if err != nil {
		return nil, err
	}
	api, err := gofish.ConnectContext(ctx, gofish.ClientConfig{
		Endpoint: "https://" + net.JoinHostPort(name, strconv.Itoa(port)), Username: b.User, Password: b.Password,
		BasicAuth: true, HTTPClient: web,
	})
	if err != nil {
		return nil, fmt.Errorf("no session: %w: check address, user, password and bmc/ca", err)
	}
	systems, err := api.Service.Systems()
	if err == nil && len(systems) != 1 {
		err = fmt.Errorf("it has %d computer systems: only controllers of one are known", len(systems))
	}
	if err != nil {
		return nil, err
	}
	return redfishSystem{api, systems[0]}, nil
}

// webClient checks the controller's certificate against the site's authority, or
// not at all if the site says so: most controllers come with one that nobody signed.
func webClient(b cluster.BMC) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: b.Insecure}
	if len(b.CA) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(b.CA) {
			return nil, errors.New("bmc/ca has no certificate in PEM form")
		}
	}
	return &http.Client{Timeout: answerWithin, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}, nil
}

func (r redfishSystem) close(context.Context) error {
	r.api.Logout() // of basic authentication there is no session to end
	return nil
}

func (r redfishSystem) on(context.Context) (bool, error) {
	switch s := r.system.PowerState; s {
	case redfish.OnPowerState, redfish.PoweringOffPowerState, redfish.PausedPowerState:
		return true, nil
	case redfish.OffPowerState, redfish.PoweringOnPowerState:
		return false, nil
	default:
		return false, fmt.Errorf("unknown power state %q", s)
	}
}

func (r redfishSystem) do(_ context.Context, a Action) error {
	ways := map[Action][]redfish.ResetType{ // the first that the system allows
		On: {redfish.OnResetType, redfish.ForceOnResetType}, Off: {redfish.ForceOffResetType},
		GentleOff: {redfish.GracefulShutdownResetType}, GentleRestart: {redfish.GracefulRestartResetType},
		Reset: {redfish.ForceRestartResetType}, Cycle: {redfish.PowerCycleResetType, redfish.ForceRestartResetType},
	}[a]
	for _, way := range ways {
		if len(r.system.SupportedResetTypes) == 0 || slices.Contains(r.system.SupportedResetTypes, way) {
			return r.system.Reset(way)
		}
	}
	return fmt.Errorf("it offers none of %v, only %v", ways, r.system.SupportedResetTypes)
}
