package rehearse

import (
	"context"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "kadeploy/proto/agent/v1"
)

// agent answers the coordinator's calls for a machine. Nothing is done but what takes
// time and may fail; what is received is compared byte by byte.
type agent struct {
	agentv1.UnimplementedAgentServer
	life *life
	boot string    // of this boot of the mini-OS
	left chan next // what the machine boots when it leaves the mini-OS
}

// do is one thing that the machine does, which takes at least d.
func (a *agent) do(p Point, d time.Duration) error {
	a.life.sleep(a.life.machine.delay(d))
	if err := a.life.faulty(p); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

func (a *agent) disk(p Point) error { return a.do(p, a.life.machine.world.spec.Delays.Disk) }

func (a *agent) Describe(context.Context, *agentv1.DescribeRequest) (*agentv1.DescribeReply, error) {
	return &agentv1.DescribeReply{Hostname: a.life.machine.spec.Name, AgentVersion: "rehearsal", BootId: a.boot, Cpus: 1}, nil
}

func (a *agent) InstallKeys(context.Context, *agentv1.InstallKeysRequest) (*agentv1.InstallKeysReply, error) {
	return &agentv1.InstallKeysReply{}, a.do(AtKeys, 0)
}

func (a *agent) Partition(context.Context, *agentv1.PartitionRequest) (*agentv1.PartitionReply, error) {
	return &agentv1.PartitionReply{}, a.disk(AtPartition)
}

func (a *agent) Format(context.Context, *agentv1.FormatRequest) (*agentv1.FormatReply, error) {
	return &agentv1.FormatReply{}, a.disk(AtFormat)
}

func (a *agent) Log(context.Context, *agentv1.LogRequest) (*agentv1.LogReply, error) {
	return &agentv1.LogReply{}, nil
}

func (a *agent) Mount(context.Context, *agentv1.MountRequest) (*agentv1.MountReply, error) {
	return &agentv1.MountReply{}, a.disk(AtMount)
}

func (a *agent) Unmount(context.Context, *agentv1.UnmountRequest) (*agentv1.UnmountReply, error) {
	return &agentv1.UnmountReply{}, a.disk(AtUnmount)
}

func (a *agent) CompleteFstab(context.Context, *agentv1.CompleteFstabRequest) (*agentv1.CompleteFstabReply, error) {
	return &agentv1.CompleteFstabReply{}, nil
}

// Locate tells that every target is on the one disk that a simulated node has.
func (a *agent) Locate(_ context.Context, r *agentv1.LocateRequest) (*agentv1.LocateReply, error) {
	reply := &agentv1.LocateReply{}
	for _, t := range r.Targets {
		path := "/dev/sda"
		if t.Partition > 0 {
			path += strconv.Itoa(int(t.Partition))
		}
		reply.Paths = append(reply.Paths, path)
	}
	return reply, nil
}

func (a *agent) CheckKernel(context.Context, *agentv1.CheckKernelRequest) (*agentv1.CheckKernelReply, error) {
	if !a.life.machine.bootable() {
		return nil, status.Error(codes.FailedPrecondition, "no image was received: there is no kernel")
	}
	return &agentv1.CheckKernelReply{Kernel: deployedKernel, Initrd: deployedInitrd}, a.do(AtKernel, 0)
}

func (a *agent) Run(_ *agentv1.RunRequest, out grpc.ServerStreamingServer[agentv1.RunReply]) error {
	return a.script(AtRun, out)
}

func (a *agent) InstallBootloader(_ *agentv1.InstallBootloaderRequest, out grpc.ServerStreamingServer[agentv1.RunReply]) error {
	return a.script(AtBootloader, out)
}

func (a *agent) script(p Point, out grpc.ServerStreamingServer[agentv1.RunReply]) error {
	if err := a.disk(p); err != nil {
		return err
	}
	return out.Send(&agentv1.RunReply{Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{}}})
}

func (a *agent) PutFile(in grpc.ClientStreamingServer[agentv1.PutFileRequest, agentv1.PutFileReply]) error {
	size := uint64(0)
	for {
		message, err := in.Recv()
		if err == io.EOF {
			return in.SendAndClose(&agentv1.PutFileReply{SizeBytes: size})
		}
		if err != nil {
			return err
		}
		size += uint64(len(message.GetData()))
	}
}

func (a *agent) Kexec(context.Context, *agentv1.KexecRequest) (*agentv1.KexecReply, error) {
	if err := a.do(AtKexec, 0); err != nil {
		return nil, err
	}
	a.leave(system)
	return &agentv1.KexecReply{}, nil
}

func (a *agent) Reboot(_ context.Context, r *agentv1.RebootRequest) (*agentv1.RebootReply, error) {
	if err := a.do(AtReboot, 0); err != nil {
		return nil, err
	}
	if r.PowerOff {
		a.leave(off)
	} else {
		a.leave(firmware)
	}
	return &agentv1.RebootReply{}, nil
}

// leaveAfter is how long an answer has to get away before the machine boots anew.
const leaveAfter = 50 * time.Millisecond

func (a *agent) leave(n next) {
	time.AfterFunc(leaveAfter, func() {
		select {
		case a.left <- n:
		default:
		}
	})
}
