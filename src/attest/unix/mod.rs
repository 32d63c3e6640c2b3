//! Attestation of the process at the other end of a Unix socket, by the kernel's word alone; and by that of the
//! container runtime, when one is to be asked, for the image.
//!
//! Selectors: `unix.uid`, `unix.gid`, `unix.groups` (one each), `unix.exe`, `unix.sha256`, `cgroup.path`,
//! `container.id`, `container.image`, `systemd.unit`, `systemd.user_unit`. What can't be proven is absent, so that
//! no rule on it holds: `unix.exe` and `unix.sha256` when the daemon may not look (another user's process without
//! `CAP_SYS_PTRACE`), `unix.exe` when we see another file at that path or none, `unix.sha256` on file
//! systems in user space or on the network, `container.image` when no runtime is asked or it knows no such
//! container.

pub mod cgroup;
mod executable;
mod images;
mod peer;
mod procfs;
mod raw;
mod socket;

use std::sync::Arc;

use self::executable::{Executables, Image};
pub use self::images::Images;
use self::peer::Established;
pub use self::peer::Peer;
pub use self::raw::Credentials;
pub use self::socket::{BindError, Connection, Listener};
use super::{Attestor, BoxFuture, Failure, Outcome, Presented, Rejected};
use crate::domain::evidence::{Evidence, Selector};

/// Attests the processes behind Unix sockets.
#[derive(Debug)]
pub struct UnixAttestor {
    executables: Executables,
    images: Option<Images>,
}

impl UnixAttestor {
    /// An attestor that has seen no executable yet.
    pub fn new() -> Self {
        Self { executables: Executables::new(), images: None }
    }

    /// One that also asks a container runtime for the images of containers.
    pub fn with_images(images: Images) -> Self {
        Self { images: Some(images), ..Self::new() }
    }

    /// The evidence of the peer, as of now.
    ///
    /// The first time it reads the executable; from then on a process that is what it was at connect has
    /// the same evidence, and one that is not has none.
    async fn evidence(&self, peer: &Peer) -> Result<Arc<Evidence>, Failure> {
        let established = peer.verify()?;
        if let Some(evidence) = peer.kept().get() {
            return Ok(Arc::clone(evidence));
        }
        let image = match established.first.executable {
            Some(id) => self.executables.examine(Arc::clone(&established.process), id).await?,
            // Not being allowed to look does not change, so it can be kept as well.
            None => Image { settled: true, ..Image::default() },
        };
        let container = match &self.images {
            Some(images) => container_image(images, established).await?,
            None => None,
        };
        // The process was the same before and after the executable was read, so the executable is its own; and so is
        // the container that the runtime was asked about.
        let established = peer.verify()?;
        let evidence = Arc::new(evidence(established, &image, container)?);
        if image.settled {
            return Ok(Arc::clone(peer.kept().get_or_init(|| evidence)));
        }
        Ok(evidence)
    }
}

impl Default for UnixAttestor {
    fn default() -> Self {
        Self::new()
    }
}

impl Attestor for UnixAttestor {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn attest<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            match &presented.unix {
                Some(peer) => self.evidence(peer).await.map(Outcome::Evidence),
                None => Ok(Outcome::NotMine),
            }
        })
    }
}

/// The image of the container that the process is in.
async fn container_image(images: &Images, established: &Established) -> Result<Option<String>, Failure> {
    let placement = cgroup::parse(&established.first.cgroup);
    match placement.and_then(|at| at.container) {
        Some(container) => images.of(container).await,
        None => Ok(None),
    }
}

fn evidence(
    established: &Established,
    image: &Image,
    container_image: Option<String>,
) -> Result<Evidence, Failure> {
    let credentials = established.credentials;
    let placement = cgroup::parse(&established.first.cgroup);
    let groups = established.groups.iter().map(|gid| ("unix.groups", Some(gid.to_string())));
    let of_placement = |fact: fn(&cgroup::Placement<'_>) -> Option<String>| placement.as_ref().and_then(fact);
    let facts = [
        ("unix.uid", Some(credentials.uid.to_string())),
        ("unix.gid", established.gid.map(|gid| gid.to_string())),
        ("unix.exe", image.path.clone()),
        ("unix.sha256", image.digest.map(|digest| digest.to_string())),
        ("cgroup.path", of_placement(|at| Some(at.path.to_owned()))),
        ("container.id", of_placement(|at| at.container.map(str::to_owned))),
        ("container.image", container_image),
        ("systemd.unit", of_placement(|at| at.unit.map(str::to_owned))),
        ("systemd.user_unit", of_placement(|at| at.user_unit.map(str::to_owned))),
    ];
    // A value that is no selector, such as a path with a control character, is a fact we can't state.
    let selectors = facts
        .into_iter()
        .chain(groups)
        .filter_map(|(kind, value)| value.and_then(|value| Selector::new(kind, &value).ok()));
    Evidence::new(selectors, None).map_err(|_| Rejected::Oversized.into())
}
