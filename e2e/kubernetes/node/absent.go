package node

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func notFound(kind, id string) error { return status.Errorf(codes.NotFound, "no %s %s", kind, id) }

// notImplemented is what this runtime does not do: checkpoints, events, and figures of use.
type notImplemented struct{}

var errNotImplemented = status.Error(codes.Unimplemented, "this runtime does not do that")

func (notImplemented) CheckpointContainer(context.Context, *runtimeapi.CheckpointContainerRequest) error {
	return errNotImplemented
}

func (notImplemented) GetContainerEvents(context.Context, chan *runtimeapi.ContainerEventResponse, func(runtimeapi.RuntimeService_GetContainerEventsClient)) error {
	return errNotImplemented
}

func (notImplemented) UpdatePodSandboxResources(context.Context, *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	return nil, errNotImplemented
}

func (notImplemented) CheckpointPod(context.Context, *runtimeapi.CheckpointPodRequest) error {
	return errNotImplemented
}

func (notImplemented) RestorePod(context.Context, *runtimeapi.RestorePodRequest) (*runtimeapi.RestorePodResponse, error) {
	return nil, errNotImplemented
}

func (notImplemented) ContainerStats(context.Context, string) (*runtimeapi.ContainerStats, error) {
	return nil, errNotImplemented
}

func (notImplemented) ListContainerStats(context.Context, *runtimeapi.ContainerStatsFilter) ([]*runtimeapi.ContainerStats, error) {
	return nil, nil
}

func (notImplemented) PodSandboxStats(context.Context, string) (*runtimeapi.PodSandboxStats, error) {
	return nil, errNotImplemented
}

func (notImplemented) ListPodSandboxStats(context.Context, *runtimeapi.PodSandboxStatsFilter) ([]*runtimeapi.PodSandboxStats, error) {
	return nil, nil
}

func (notImplemented) ListMetricDescriptors(context.Context) ([]*runtimeapi.MetricDescriptor, error) {
	return nil, nil
}

func (notImplemented) ListPodSandboxMetrics(context.Context) ([]*runtimeapi.PodSandboxMetrics, error) {
	return nil, nil
}

func (notImplemented) UpdateRuntimeConfig(context.Context, *runtimeapi.RuntimeConfig) error {
	return nil
}

func (notImplemented) RuntimeConfig(context.Context) (*runtimeapi.RuntimeConfigResponse, error) {
	return &runtimeapi.RuntimeConfigResponse{}, nil
}

func (notImplemented) Close(context.Context) error { return nil }
