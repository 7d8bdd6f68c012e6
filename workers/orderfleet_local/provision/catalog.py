"""The tools of the local stack and the tests, as data: version, acceptable versions, sources.

The module files in `deploy/tools/` must have the same versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KUBERNETES = "1.36.3"
ETCD = "3.7.3"
TEMPORAL = "1.5.1"
SQLITE_DRIVER = (1, 51, 0)
"""Version in the pinned Temporal. The release has 1.34.1, which may return `interrupted (9)` until a restart."""
TEST_SERVER = "1.32.0"
HELM = "4.3.1"
KIND = "0.33.0"
METRICS_SERVER = "0.9.0"
STRIPE_MOCK = "0.203.0"


class ChecksumKind(StrEnum):
    """How an official release publishes the SHA-256 of its files."""

    DIGEST = "digest"
    """A file with the digest only."""
    LISTING = "listing"
    """A file with a line `digest  file name` for each file."""
    GITHUB = "github"
    """GitHub's release document, whose assets carry `digest: sha256:…`."""


@dataclass(frozen=True, slots=True)
class OnPath:
    """Which versions on PATH are accepted, and the arguments that print the version."""

    arguments: tuple[str, ...]
    oldest: tuple[int, ...]
    below: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """The URLs of an official release and its checksum.

    Both may contain `{version}`, `{os}`, `{arch}` and `{suffix}` (`tar.gz`, or `zip` where
    `zip_systems` says so). `member` is the file's name inside an archive, None for a plain binary.
    """

    url: str
    checksum_url: str
    checksum: ChecksumKind
    member: str | None = None
    systems: tuple[str, ...] = ("linux", "darwin")
    zip_systems: tuple[str, ...] = ()
    renamed_systems: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GoBuild:
    """A Go package to build from the pinned module `deploy/tools/<module>`, with build tags separated by commas."""

    module: str
    package: str
    linker_flags: str = "-s -w"
    tags: str = ""


@dataclass(frozen=True, slots=True)
class MavenFetch:
    """A Java program with the jars of the pinned project `deploy/tools/<module>`."""

    module: str
    main_class: str


@dataclass(frozen=True, slots=True)
class LinkedModule:
    """A Go module that a program is linked with, and the oldest version without a fault."""

    path: str
    oldest: tuple[int, ...]
    fault: str
    """Effect of an older version."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool; its name is the name of its executable.

    `linked` is set if the official release may have a fault that the pinned build has not.
    """

    name: str
    version: str
    recipe: GoBuild | MavenFetch
    on_path: OnPath | None = None
    release: Release | None = None
    linked: LinkedModule | None = None

    @property
    def edition(self) -> str:
        """The version, followed by that of the linked module if there is one."""
        if self.linked is None:
            return self.version
        return f"{self.version}-{self.linked.path.rpartition('/')[2]}{'.'.join(map(str, self.linked.oldest))}"


_KUBERNETES_RELEASE = "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}/"
_KUBERNETES_FLAGS = (
    f"-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"
    " -X k8s.io/component-base/version.gitMajor=1"
    " -X k8s.io/component-base/version.gitMinor=36"
)
_ETCD_RELEASE = "https://github.com/etcd-io/etcd/releases/download/v{version}/"
_TEMPORAL_RELEASE = "https://github.com/temporalio/cli/releases/download/v{version}/"
_HELM_RELEASE = "https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz"
_KIND_RELEASE = "https://github.com/kubernetes-sigs/kind/releases/download/v{version}/kind-{os}-{arch}"
_JAVA_SDK = "temporalio/sdk-java/releases"

# Builds start in this order, so the longest comes first.
TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="kube-apiserver",
            version=KUBERNETES,
            on_path=OnPath(("--version",), oldest=(1, 36), below=(1, 37)),
            # Official server binaries exist for Linux only.
            release=Release(
                url=_KUBERNETES_RELEASE + "kube-apiserver",
                checksum_url=_KUBERNETES_RELEASE + "kube-apiserver.sha256",
                checksum=ChecksumKind.DIGEST,
                systems=("linux",),
            ),
            recipe=GoBuild("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES_FLAGS),
        ),
        Tool(
            name="temporal",
            version=TEMPORAL,
            on_path=OnPath(("--version",), oldest=(1, 5, 1), below=(2,)),
            release=Release(
                url=_TEMPORAL_RELEASE + "temporal_cli_{version}_{os}_{arch}.tar.gz",
                checksum_url=_TEMPORAL_RELEASE + "checksums.txt",
                checksum=ChecksumKind.LISTING,
                member="temporal",
            ),
            # As Temporal's own Makefile does: leaves out 124 packages (xds, Envoy) that only Google's storage uses.
            recipe=GoBuild("temporal", "github.com/temporalio/cli/cmd/temporal", tags="disable_grpc_modules"),
            linked=LinkedModule(
                "modernc.org/sqlite",
                oldest=SQLITE_DRIVER,
                fault="after a kill under load the server may answer every call with an error until it is restarted",
            ),
        ),
        Tool(
            name="kubectl",
            version=KUBERNETES,
            # Officially kubectl supports servers one minor version away. The stack uses apply, patch, wait and watch,
            # which 1.30 had, and accepting a user's kubectl saves a build of minutes.
            on_path=OnPath(("version", "--client"), oldest=(1, 30), below=(2,)),
            release=Release(
                url=_KUBERNETES_RELEASE + "kubectl",
                checksum_url=_KUBERNETES_RELEASE + "kubectl.sha256",
                checksum=ChecksumKind.DIGEST,
            ),
            recipe=GoBuild("kubernetes", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES_FLAGS),
        ),
        Tool(
            name="etcd",
            version=ETCD,
            on_path=OnPath(("--version",), oldest=(3, 6), below=(4,)),
            release=Release(
                url=_ETCD_RELEASE + "etcd-v{version}-{os}-{arch}.{suffix}",
                checksum_url=_ETCD_RELEASE + "SHA256SUMS",
                checksum=ChecksumKind.LISTING,
                member="etcd",
                zip_systems=("darwin",),
            ),
            recipe=GoBuild("etcd", "go.etcd.io/etcd/server/v3"),
        ),
        Tool(
            name="temporal-test-server",
            version=TEST_SERVER,
            # The test server can't print its version, so one on PATH is never accepted.
            release=Release(
                url=f"https://github.com/{_JAVA_SDK}/download/v{{version}}/"
                "temporal-test-server_{version}_{os}_{arch}.tar.gz",
                checksum_url=f"https://api.github.com/repos/{_JAVA_SDK}/tags/v{{version}}",
                checksum=ChecksumKind.GITHUB,
                member="temporal-test-server",
                renamed_systems=(("darwin", "macOS"),),
            ),
            recipe=MavenFetch("temporal-test-server", "io.temporal.testserver.TestServer"),
        ),
        Tool(
            name="helm",
            version=HELM,
            on_path=OnPath(("version", "--short"), oldest=(3, 17), below=(5,)),
            release=Release(
                url=_HELM_RELEASE,
                checksum_url=_HELM_RELEASE + ".sha256sum",
                checksum=ChecksumKind.LISTING,
                member="helm",
            ),
            recipe=GoBuild("helm", "helm.sh/helm/v4/cmd/helm"),
        ),
        Tool(
            name="kind",
            version=KIND,
            # The oldest version that deploy/kind/up.sh accepts.
            on_path=OnPath(("version",), oldest=(0, 27), below=(1,)),
            release=Release(
                url=_KIND_RELEASE, checksum_url=_KIND_RELEASE + ".sha256sum", checksum=ChecksumKind.LISTING
            ),
            recipe=GoBuild("kind", "sigs.k8s.io/kind"),
        ),
        Tool(
            name="metrics-server",
            version=METRICS_SERVER,
            # Officially it comes as an image only.
            recipe=GoBuild("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
        ),
        Tool(
            name="stripe-mock",
            version=STRIPE_MOCK,
            # A build prints `master` as its version, so one on PATH is never accepted.
            recipe=GoBuild("stripe-mock", "github.com/stripe/stripe-mock"),
        ),
    )
}

STACK_TOOLS = ("kube-apiserver", "temporal", "kubectl", "etcd")
"""Tools of the stack."""
TEST_TOOLS = (*STACK_TOOLS, "temporal-test-server", "helm", "kind", "stripe-mock")
"""Tools of the tests; those on a whole cluster use `metrics-server` too."""
