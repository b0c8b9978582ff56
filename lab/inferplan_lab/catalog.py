"""Which programs the lab uses, in which versions, and the two places each can be had from: data, no code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

TOOLS = Path(__file__).resolve().parents[1] / "tools"
KUBERNETES = "1.37.2"
ETCD = "3.7.3"
PROMETHEUS = "3.16.0"
GITEA = "1.26.0"
KUSTOMIZE_CONTROLLER = "1.9.6"


@dataclass(frozen=True)
class Download:
    """An official release. The texts may hold {name}, {version}, {os} and {arch} (Go's words for both).

    Attributes:
        url: The file to download.
        checksums_url: Its SHA-256: the bare digest, or lines of digest and file name.
        member: What to take out of a tar.gz; None when the file is the program itself.
    """

    url: str
    checksums_url: str
    member: str | None = None


@dataclass(frozen=True)
class Build:
    """A build from a pinned Go module.

    Attributes:
        folder: Holds the go.mod and go.sum that pin it.
        module: The module and its version, for people.
        package: The package to build; Go names the program after its last path element.
        flags: Further flags of `go build`.
        usual: How long it took on two cores with an empty build cache, for people.
        cgo: Whether it holds C, and so needs a C compiler.
        assets: Folders of the module that it reads while it runs; copied beside it under their last name.
    """

    folder: Path
    module: str
    package: str
    flags: tuple[str, ...]
    usual: str
    cgo: bool = False
    assets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        name: Its file name.
        version: The pinned version, major.minor.patch.
        version_arguments: What makes it print its version; empty when nothing does. Such a program is taken from
            where its version is known anyway, never from PATH.
        download: The official release; None when there is no binary among it.
        build: The build that stands in for it.
    """

    name: str
    version: str
    version_arguments: tuple[str, ...]
    download: Download | None
    build: Build


def _kubernetes(name: str, version_arguments: tuple[str, ...], usual: str) -> Program:
    url = "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/{name}"
    major, minor, _patch = KUBERNETES.split(".")
    # Without these, `kubectl version` says v0.0.0-master and the API server turns feature discovery off.
    variables = (
        f"k8s.io/component-base/version.gitVersion=v{KUBERNETES}",
        f"k8s.io/component-base/version.gitMajor={major}",
        f"k8s.io/component-base/version.gitMinor={minor}",
        f"k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}",
        f"k8s.io/client-go/pkg/version.gitMajor={major}",
        f"k8s.io/client-go/pkg/version.gitMinor={minor}",
    )
    build = Build(
        folder=TOOLS / "kubernetes",
        module=f"k8s.io/kubernetes v{KUBERNETES}",
        package=f"k8s.io/kubernetes/cmd/{name}",
        flags=("-ldflags", " ".join(("-s -w", *(f"-X {variable}" for variable in variables)))),
        usual=usual,
    )
    return Program(name, KUBERNETES, version_arguments, Download(url, f"{url}.sha256"), build)


def _etcd() -> Program:
    releases = "https://github.com/etcd-io/etcd/releases/download/v{version}/"
    download = Download(
        url=releases + "etcd-v{version}-{os}-{arch}.tar.gz",
        checksums_url=releases + "SHA256SUMS",
        member="etcd-v{version}-{os}-{arch}/etcd",
    )
    build = Build(
        folder=TOOLS / "etcd",
        module=f"go.etcd.io/etcd/server/v3 v{ETCD}",
        package="go.etcd.io/etcd/server/v3",
        flags=("-ldflags", "-s -w"),
        usual="half a minute",
    )
    return Program("etcd", ETCD, ("--version",), download, build)


def _prometheus() -> Program:
    releases = "https://github.com/prometheus/prometheus/releases/download/v{version}/"
    download = Download(
        url=releases + "prometheus-{version}.{os}-{arch}.tar.gz",
        checksums_url=releases + "sha256sums.txt",
        member="prometheus-{version}.{os}-{arch}/prometheus",
    )
    major, minor, _patch = PROMETHEUS.split(".")
    build = Build(
        folder=TOOLS / "prometheus",
        module=f"github.com/prometheus/prometheus v0.{major}{minor}.0",  # its module keeps version 0
        package="github.com/prometheus/prometheus/cmd/prometheus",
        flags=(
            *("-tags", "netgo,remove_all_sd,enable_kubernetes_sd"),  # no cloud's service discovery
            *("-ldflags", f"-s -w -X github.com/prometheus/common/version.Version={PROMETHEUS}"),
        ),
        usual="about 2 minutes",
    )
    return Program("prometheus", PROMETHEUS, ("--version",), download, build)


def _gitea() -> Program:
    url = "https://dl.gitea.com/gitea/{version}/gitea-{version}-{os}-{arch}"
    build = Build(
        folder=TOOLS / "gitea",
        module=f"code.gitea.io/gitea v{GITEA}",
        package="code.gitea.io/gitea",
        flags=("-tags", "sqlite sqlite_unlock_notify", "-ldflags", f"-s -w -X main.Version={GITEA}"),
        usual="about 3 minutes",
        cgo=True,  # SQLite; the other databases that Gitea knows are servers
        assets=("templates", "options", "public"),  # official binaries have them inside
    )
    return Program("gitea", GITEA, ("--version",), Download(url, f"{url}.sha256"), build)


def _kustomize_controller() -> Program:
    build = Build(
        folder=TOOLS / "kustomize-controller",
        module=f"github.com/fluxcd/kustomize-controller v{KUSTOMIZE_CONTROLLER}",
        package="github.com/fluxcd/kustomize-controller",
        flags=("-ldflags", "-s -w"),
        usual="about 2 minutes",
        assets=("config/crd/bases",),
    )
    return Program("kustomize-controller", KUSTOMIZE_CONTROLLER, (), None, build)


CATALOG: Mapping[str, Program] = MappingProxyType(
    {
        program.name: program
        for program in (
            _etcd(),
            _kubernetes("kube-apiserver", ("--version",), "about 5 minutes"),
            _kubernetes("kube-controller-manager", ("--version",), "about 1 minute after kube-apiserver"),
            _kubernetes("kubectl", ("version", "--client"), "half a minute after kube-apiserver"),
            _prometheus(),
            _gitea(),
            _kustomize_controller(),
        )
    }
)
