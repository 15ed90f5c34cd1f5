# All images: docker buildx bake -f deploy/docker/bake.hcl
# For a registry, both architectures, with SBOM and provenance: REGISTRY=registry.example.org/parley VERSION=0.1.0 GIT_SHA=$(git
# rev-parse HEAD) docker buildx bake -f deploy/docker/bake.hcl release --push

variable "REGISTRY" { default = "parley" }
variable "VERSION" { default = "dev" }
variable "GIT_SHA" { default = "unknown" }
variable "PYTHON_IMAGE" { default = "python:3.14.10-slim-trixie" }

variable "SERVICES" {
  default = [
    { name = "gateway", member = "services/gateway", admin_port = "9000" },
    { name = "auth", member = "services/auth", admin_port = "9001" },
    { name = "chat", member = "services/chat", admin_port = "9002" },
    { name = "history", member = "services/history", admin_port = "9003" },
    { name = "webhooks", member = "services/webhooks", admin_port = "9004" },
  ]
}

group "default" { targets = ["image"] }
group "release" { targets = ["published"] }
# With the model server of the tests, and the local model.
group "test" { targets = ["image", "fake-provider", "local-model"] }

target "service" {
  context    = "."
  dockerfile = "deploy/docker/service.Dockerfile"
  args       = { PYTHON_IMAGE = PYTHON_IMAGE, VERSION = VERSION, GIT_SHA = GIT_SHA }
}

target "image" {
  inherits = ["service"]
  matrix   = { each = SERVICES }
  name     = each.name
  tags     = ["${REGISTRY}/${each.name}:${VERSION}"]
  args     = { SERVICE = each.name, MEMBER = each.member, ADMIN_PORT = each.admin_port }
}

target "published" {
  inherits  = ["service"]
  matrix    = { each = SERVICES }
  name      = "${each.name}-published"
  tags      = ["${REGISTRY}/${each.name}:${VERSION}"]
  args      = { SERVICE = each.name, MEMBER = each.member, ADMIN_PORT = each.admin_port }
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=sbom", "type=provenance,mode=max"]
}

target "fake-provider" {
  inherits = ["service"]
  tags     = ["${REGISTRY}/fake-provider:${VERSION}"]
  args     = { SERVICE = "fake-provider", MEMBER = "libs/fake-provider", ADMIN_PORT = "8100" }
}

target "local-model" {
  context    = "."
  dockerfile = "deploy/docker/local-model.Dockerfile"
  args       = { PYTHON_IMAGE = PYTHON_IMAGE, VERSION = VERSION }
  tags       = ["${REGISTRY}/local-model:${VERSION}"]
}
