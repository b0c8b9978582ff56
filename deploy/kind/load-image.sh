#!/usr/bin/env bash
# Builds the operator's image and loads it into the kind cluster. Needs Docker and kind.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=$(sed -n 's/^ *image: *//p' deploy/deployment.yaml)
docker build --tag "$image" .
kind load docker-image "$image" --name "${KIND_CLUSTER:-inferplan}"
