package main

import (
	"bufio"
	"context"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// runNode serves the node part, and registers it as node-driver-registrar does: the kubelet finds a second socket in its
// folder of registrations, and asks there for the first one.
func runNode(name, folder string) {
	own := filepath.Join(folder, "plugins", driver)
	for _, folder := range []string{own, filepath.Join(folder, "plugins_registry")} {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			log.Fatal(err)
		}
	}
	socket := filepath.Join(own, "csi.sock")
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, identity{})
	csi.RegisterNodeServer(server, node{name: name})
	go serve(server, socket)

	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, registrationServer{socket: socket})
	serve(registrar, filepath.Join(folder, "plugins_registry", driver+"-reg.sock"))
}

type registrationServer struct {
	registration.UnsafeRegistrationServer
	socket string
}

func (r registrationServer) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: driver, Endpoint: r.socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (registrationServer) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	log.Printf("registered: %t %s", status.PluginRegistered, status.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

// node mounts volumes.
type node struct {
	csi.UnimplementedNodeServer
	name string
}

func (n node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	var answer csi.NodeGetCapabilitiesResponse
	for _, able := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		rpc := &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: able}}
		answer.Capabilities = append(answer.Capabilities, &csi.NodeServiceCapability{Type: rpc})
	}
	return &answer, nil
}

// NodePublishVolume mounts <server>:<share>/<subdir>. The names of attributes are read without their case, and unknown
// attributes are ignored.
func (node) NodePublishVolume(ctx context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	attributes := map[string]string{}
	for name, value := range request.VolumeContext {
		attributes[strings.ToLower(name)] = value
	}
	server, share, subDir := attributes["server"], attributes["share"], attributes["subdir"]
	if server == "" || share == "" {
		return nil, status.Error(codes.InvalidArgument, "server and share are required")
	}
	if address := net.ParseIP(server); address != nil && address.To4() == nil {
		server = "[" + server + "]"
	}
	source := server + ":" + share
	if subDir != "" {
		source = strings.TrimRight(source, "/") + "/" + subDir
	}
	options := request.VolumeCapability.GetMount().GetMountFlags()
	if attributes["mountoptions"] != "" {
		options = append(options, attributes["mountoptions"])
	}
	if request.Readonly {
		options = append(options, "ro")
	}
	target := request.TargetPath
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	mounted, err := isMounted(target)
	if err != nil || mounted {
		return &csi.NodePublishVolumeResponse{}, err
	}
	arguments := []string{"-t", "nfs"}
	if len(options) > 0 {
		arguments = append(arguments, "-o", strings.Join(options, ","))
	}
	said, err := exec.CommandContext(ctx, "mount", append(arguments, source, target)...).CombinedOutput()
	log.Printf("publish %s %s %s %v", request.VolumeId, source, strings.Join(options, ","), err)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "mount %s: %v: %s", source, err, said)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (node) NodeUnpublishVolume(ctx context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	mounted, err := isMounted(request.TargetPath)
	if err != nil {
		return nil, err
	}
	if mounted {
		said, err := exec.CommandContext(ctx, "umount", request.TargetPath).CombinedOutput()
		log.Printf("unpublish %s %v", request.VolumeId, err)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "umount: %v: %s", err, said)
		}
	}
	if err := os.Remove(request.TargetPath); err != nil && !os.IsNotExist(err) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func (node) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(request.VolumePath, &found); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	block := found.Bsize
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{{
		Unit:      csi.VolumeUsage_BYTES,
		Total:     int64(found.Blocks) * block,
		Available: int64(found.Bavail) * block,
		Used:      int64(found.Blocks-found.Bfree) * block,
	}, {
		Unit:      csi.VolumeUsage_INODES,
		Total:     int64(found.Files),
		Available: int64(found.Ffree),
		Used:      int64(found.Files - found.Ffree),
	}}}, nil
}

// isMounted reads the table of mounts: a path in a dead mount cannot be asked.
func isMounted(path string) (bool, error) {
	table, err := os.Open("/proc/self/mounts")
	if err != nil {
		return false, status.Error(codes.Internal, err.Error())
	}
	defer table.Close()
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[1] == path {
			return true, nil
		}
	}
	return false, lines.Err()
}
