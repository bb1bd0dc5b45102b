package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// controller expands volumes: NFS does not enforce sizes, so it does nothing. csi-resizer of the Kubernetes project calls it.
type controller struct {
	csi.UnimplementedControllerServer
	hold string
}

func (controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	var answer csi.ControllerGetCapabilitiesResponse
	for _, able := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		rpc := &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: able}}
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{Type: rpc})
	}
	return &answer, nil
}

func (c controller) ControllerExpandVolume(ctx context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	size := request.CapacityRange.GetRequiredBytes()
	log.Printf("expand %s %d", request.VolumeId, size)
	for ctx.Err() == nil {
		if _, err := os.Stat(c.hold); os.IsNotExist(err) {
			return &csi.ControllerExpandVolumeResponse{CapacityBytes: size}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, ctx.Err()
}
