// Command csi-driver plays the parts of csi-driver-nfs for tests: the Go module proxy does not serve csi-driver-nfs,
// external-provisioner and node-driver-registrar. It does what their source does with the volumes of the tests, and no more.
//
//	csi-driver node NAME FOLDER           the node part, and its registration with the kubelet whose folder this is
//	csi-driver controller SOCKET HOLD     the controller part: the expansion of volumes. It waits while the file HOLD exists.
//	csi-driver provisioner KUBECONFIG EXPORT
//	                                      external-provisioner with the controller part: it creates and deletes volumes
//
// The calls of the API that change something are printed to the standard output, one in a line.
package main

import (
	"context"
	"log"
	"net"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// driver is the name of csi-driver-nfs.
const driver = "nfs.csi.k8s.io"

func main() {
	log.SetOutput(os.Stdout)
	log.SetFlags(0)
	switch {
	case len(os.Args) == 4 && os.Args[1] == "node":
		runNode(os.Args[2], os.Args[3])
	case len(os.Args) == 4 && os.Args[1] == "controller":
		server := grpc.NewServer()
		csi.RegisterIdentityServer(server, identity{})
		csi.RegisterControllerServer(server, controller{hold: os.Args[3]})
		serve(server, os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "provisioner":
		runProvisioner(os.Args[2], os.Args[3])
	default:
		log.Fatal("usage: csi-driver node NAME FOLDER | controller SOCKET HOLD | provisioner KUBECONFIG EXPORT")
	}
}

// serve answers calls at a socket. A socket of an earlier process is replaced.
func serve(server *grpc.Server, socket string) {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(listener))
}

// identity says what the driver is.
type identity struct {
	csi.UnimplementedIdentityServer
}

func (identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: driver, VendorVersion: "played"}, nil
}

func (identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: service}},
	}}, nil
}

func (identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}
