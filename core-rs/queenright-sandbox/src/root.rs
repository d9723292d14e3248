//! The file tree of a sandbox: a small tmpfs with what it needs of the host, entered by pivot_root.
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::layout::{Access, Layout, Mount};
use crate::overlay::{self, Overlay};
use crate::step::{At, Refusal, Step};
use crate::sys::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

/// The one user of a sandbox, as it sees itself.
pub const UID: u32 = 1000;
pub const GID: u32 = 1000;

/// The root tmpfs holds directories, links and five small files, nothing of the agent's.
const ROOT_BYTES: &CStr = c"2m";
const ROOT_INODES: &CStr = c"512";
const TMP_INODES: &CStr = c"20000";
pub const SHM_BYTES: u64 = 16 << 20;

pub const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "agent:x:1000:1000:agent:/tmp:/bin/sh\n"),
    ("etc/group", "agent:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
];
pub const DEV_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
];

/// The sandbox's /tmp.
pub struct Tmp {
    pub bytes: u64,
    /// Whether programs may be run from it: a command builds and runs there, a cell has no need to.
    pub programs: bool,
}

/// A detached copy of one piece of the host, with its final attributes.
pub struct Tree {
    pub fd: OwnedFd,
    pub target: String,
    pub directory: bool,
    pub access: Access,
}

pub fn c_string(step: Step, path: impl AsRef<[u8]>) -> Result<CString, Refusal> {
    CString::new(path.as_ref())
        .map_err(|_| Refusal::new(step, libc::EINVAL, "a path holds a NUL byte"))
}

/// Copies the mounts' trees. Done by the launcher when it is root (it can reach a prefix below a 0700 home), and by
/// the child in its own mount namespace otherwise (an ordinary user may only copy there).
pub fn copy_trees(mounts: &[Mount]) -> Result<Vec<Tree>, Refusal> {
    mounts.iter().map(copy_tree).collect()
}

pub fn copy_tree(mount: &Mount) -> Result<Tree, Refusal> {
    let name = || mount.source.display().to_string();
    let path = sys::open_path(&c_string(
        Step::Source,
        mount.source.as_os_str().as_bytes(),
    )?)
    .at(Step::Source, name)?;
    let directory = sys::is_directory(path.as_fd()).at(Step::Source, name)?;
    let fd = sys::clone_tree(path.as_fd()).at(Step::Source, name)?;
    let attributes = match mount.access {
        Access::ReadOnly => MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        Access::Writable => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        Access::Device => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
    };
    sys::set_mount_attributes(fd.as_fd(), attributes, true).at(Step::Source, name)?;
    Ok(Tree {
        fd,
        target: mount.target.clone(),
        directory,
        access: mount.access,
    })
}

/// Builds the root and makes it the root of this process. Everything of the host that was not copied is gone.
///
/// `host` are the launcher's own trees, `asked` the caller's: those come last, over everything but /proc and /dev.
pub fn enter(
    layout: &Layout,
    host: &[Tree],
    asked: &[Tree],
    layered: Option<(&Overlay, &Tree)>,
    hide: &[String],
    tmp: &Tmp,
) -> Result<(), Refusal> {
    let plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    let old = sys::open_path(c"/").at(Step::NewRoot, String::new)?;
    let options = [
        (c"size", ROOT_BYTES),
        (c"nr_inodes", ROOT_INODES),
        (c"mode", c"0755"),
    ];
    let root =
        sys::new_filesystem(c"tmpfs", &options, plain).at(Step::NewRoot, || "tmpfs".into())?;
    sys::attach(root.as_fd(), old.as_fd(), c"").at(Step::NewRoot, || "attach".into())?;
    let root = root.as_fd();

    for tree in host {
        attach(
            root,
            tree,
            if tree.access == Access::Device {
                Step::Dev
            } else {
                Step::Bind
            },
        )?;
    }
    for (target, name) in &layout.links {
        link(root, target, name, Step::Etc)?;
    }
    for (target, name) in DEV_LINKS {
        link(root, Path::new(target), name, Step::Dev)?;
    }
    let bytes = c_string(Step::Dev, SHM_BYTES.to_string())?;
    let shm = [(c"size", bytes.as_c_str()), (c"mode", c"1777")];
    mount_new(
        root,
        c"tmpfs",
        &shm,
        plain | MOUNT_ATTR_NOEXEC,
        "dev/shm",
        Step::Dev,
    )?;
    let bytes = c_string(Step::Tmp, tmp.bytes.to_string())?;
    let options = [
        (c"size", bytes.as_c_str()),
        (c"nr_inodes", TMP_INODES),
        (c"mode", c"1777"),
    ];
    let no_exec = if tmp.programs { 0 } else { MOUNT_ATTR_NOEXEC };
    mount_new(root, c"tmpfs", &options, plain | no_exec, "tmp", Step::Tmp)?;
    mount_new(
        root,
        c"proc",
        &[(c"subset", c"pid")],
        plain | MOUNT_ATTR_NOEXEC,
        "proc",
        Step::Proc,
    )?;
    for (name, text) in FILES {
        file(root, name, text)?;
    }
    for tree in asked {
        attach(root, tree, Step::Bind)?;
    }
    if let Some((overlay, lower)) = layered {
        let place = directory(root, &overlay.lower.target, Step::Overlay)?;
        overlay::lay(overlay, lower, place.as_fd(), old.as_fd())?;
    }
    for path in hide {
        cover(root, path)?;
    }

    sys::fchdir(root).at(Step::Pivot, || "new root".into())?;
    sys::pivot_here().at(Step::Pivot, String::new)?;
    sys::fchdir(old.as_fd()).at(Step::Pivot, || "old root".into())?;
    sys::detach_here().at(Step::Pivot, || "detach the old root".into())?;
    sys::chdir(c"/").at(Step::Pivot, || "/".into())?;
    sys::set_mount_attributes(root, MOUNT_ATTR_RDONLY | plain, false)
        .at(Step::Pivot, || "read-only root".into())
}

/// Opens the directory `path` below the root, making what is missing.
fn directory(root: BorrowedFd<'_>, path: &str, step: Step) -> Result<OwnedFd, Refusal> {
    let mut made = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if !made.is_empty() {
            made.push('/');
        }
        made.push_str(part);
        match sys::mkdirat(root, &c_string(step, &made)?, 0o755) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(error).at(step, || format!("/{made}")),
        }
    }
    let path = if made.is_empty() { "." } else { &made };
    sys::open_directory_in(root, &c_string(step, path)?).at(step, || format!("/{made}"))
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn attach(root: BorrowedFd<'_>, tree: &Tree, step: Step) -> Result<(), Refusal> {
    let name = || format!("/{}", tree.target);
    if tree.directory {
        let place = directory(root, &tree.target, step)?;
        return sys::attach(tree.fd.as_fd(), place.as_fd(), c"").at(step, name);
    }
    let (parent, last) = split(&tree.target);
    let parent = directory(root, parent, step)?;
    let last = c_string(step, last)?;
    sys::openat(
        parent.as_fd(),
        &last,
        libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY,
        0o444,
    )
    .at(step, name)?;
    sys::attach(tree.fd.as_fd(), parent.as_fd(), &last).at(step, name)
}

fn mount_new(
    root: BorrowedFd<'_>,
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
    target: &str,
    step: Step,
) -> Result<(), Refusal> {
    let name = || format!("{} at /{target}", kind.to_string_lossy());
    let filesystem = sys::new_filesystem(kind, options, attributes).at(step, name)?;
    let place = directory(root, target, step)?;
    sys::attach(filesystem.as_fd(), place.as_fd(), c"").at(step, name)
}

/// Lays an empty directory that takes nothing over one that exists.
fn cover(root: BorrowedFd<'_>, path: &str) -> Result<(), Refusal> {
    let name = || format!("/{path}");
    let place = sys::open_directory_in(root, &c_string(Step::Hide, path)?).at(Step::Hide, name)?;
    let options = [(c"nr_inodes", c"1"), (c"mode", c"0555")];
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let empty = sys::new_filesystem(c"tmpfs", &options, attributes).at(Step::Hide, name)?;
    sys::attach(empty.as_fd(), place.as_fd(), c"").at(Step::Hide, name)
}

fn link(root: BorrowedFd<'_>, target: &Path, name: &str, step: Step) -> Result<(), Refusal> {
    let (parent, last) = split(name);
    let parent = directory(root, parent, step)?;
    let target = c_string(step, target.as_os_str().as_bytes())?;
    sys::symlinkat(&target, parent.as_fd(), &c_string(step, last)?).at(step, || format!("/{name}"))
}

fn file(root: BorrowedFd<'_>, name: &str, text: &str) -> Result<(), Refusal> {
    let (parent, last) = split(name);
    let parent = directory(root, parent, Step::Etc)?;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    let file = sys::openat(parent.as_fd(), &c_string(Step::Etc, last)?, flags, 0o444)
        .at(Step::Etc, || name.into())?;
    match sys::write(file.as_fd(), text.as_bytes()).at(Step::Etc, || name.into())? {
        count if count == text.len() => Ok(()),
        _ => Err(Refusal::new(Step::Etc, libc::ENOSPC, name)),
    }
}
