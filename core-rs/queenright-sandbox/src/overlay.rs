//! A workspace seen through an overlay: read from the version below, changed in an upper layer of bounded size.
//!
//! The upper layer is a tmpfs of this sandbox alone. Its directory is sent to whoever asked for the sandbox, who holds it
//! after the sandbox has ended, reads what was changed and keeps it or lets it go. The mount is made of descriptors and of
//! names that are constants here: nothing an agent chose stands in an option.
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use crate::layout::Mount;
use crate::root::{self, Tree, c_string};
use crate::step::{At, Refusal, Step};
use crate::sys::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};

/// What is read below, how much may be changed, and the socket that gets the upper layer's directory.
pub struct Overlay {
    pub lower: Mount,
    pub bytes: u64,
    pub inodes: u64,
    pub reply: usize,
}

/// What the packet with the upper layer's directory says.
const WORD: &[u8] = b"upper";

pub fn copy_lower(overlay: Option<&Overlay>) -> Result<Option<Tree>, Refusal> {
    overlay
        .map(|overlay| root::copy_tree(&overlay.lower))
        .transpose()
}

/// Where the layers lie in the host's own tree while the kernel looks for them: every layout shows it, so it is there.
const ASIDE: &CStr = c"usr";

/// Mounts it at `place`, sends its upper layer and closes the socket.
///
/// The layers are mounted over a directory of `old`, the tree that this namespace is about to leave: they go with it. An
/// unmount of their own would wait for every processor to pass a quiet state, as each does.
pub fn lay(
    overlay: &Overlay,
    lower: &Tree,
    place: BorrowedFd<'_>,
    old: BorrowedFd<'_>,
) -> Result<(), Refusal> {
    let name = |what: &str| format!("/{}: {what}", overlay.lower.target);
    if !lower.directory {
        let why = format!("{} is no directory", overlay.lower.source.display());
        return Err(Refusal::new(Step::Overlay, libc::ENOTDIR, why));
    }
    let plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    let bytes = c_string(Step::Overlay, overlay.bytes.to_string())?;
    let inodes = c_string(Step::Overlay, overlay.inodes.to_string())?;
    let options = [
        (c"size", bytes.as_c_str()),
        (c"nr_inodes", inodes.as_c_str()),
        (c"mode", c"0700"),
    ];
    let layers =
        sys::new_filesystem(c"tmpfs", &options, plain).at(Step::Overlay, || name("upper layer"))?;
    sys::attach(layers.as_fd(), old, ASIDE).at(Step::Overlay, || name("upper layer"))?;
    for directory in [c"upper", c"work", c"lower"] {
        sys::mkdirat(layers.as_fd(), directory, 0o700).at(Step::Overlay, || name("layers"))?;
    }
    let below = sys::open_directory_in(layers.as_fd(), c"lower")
        .at(Step::Overlay, || name("lower layer"))?;
    sys::attach(lower.fd.as_fd(), below.as_fd(), c"").at(Step::Overlay, || name("lower layer"))?;
    // The kernel resolves the layers' names from here, and holds its own mounts of what it found.
    sys::fchdir(layers.as_fd()).at(Step::Overlay, || name("layers"))?;
    let options = [
        (c"lowerdir", c"lower"),
        (c"upperdir", c"upper"),
        (c"workdir", c"work"),
        (c"userxattr", c""),
    ];
    let merged =
        sys::new_filesystem(c"overlay", &options, plain).at(Step::Overlay, || name("overlay"))?;
    let upper = sys::openat(
        layers.as_fd(),
        c"upper",
        libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW,
        0,
    )
    .at(Step::Overlay, || name("upper layer"))?;
    sys::attach(merged.as_fd(), place, c"").at(Step::Overlay, || name("overlay"))?;
    let reply = sys::held(overlay.reply).at(Step::Overlay, || name("reply"))?;
    sys::send(reply.as_fd(), WORD, Some(upper.as_fd())).at(Step::Overlay, || name("reply"))?;
    let number = RawFd::try_from(overlay.reply)
        .map_err(|_| Refusal::new(Step::Overlay, libc::EBADF, name("reply")))?;
    sys::close_range(number, number).at(Step::Overlay, || name("reply"))
}
