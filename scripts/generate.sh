#!/bin/sh
# Regenerates the code that is made from .proto files. Needs protoc (package protobuf-compiler).
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/bin/tools
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH=$tools:$PATH protoc --go_out=. --go_opt=module=kadeploy \
	--go-grpc_out=. --go-grpc_opt=module=kadeploy proto/agent/v1/agent.proto
