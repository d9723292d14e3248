//! A store and one agent's workspace in a place of their own, and uppers as the kernel would leave them.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use queenright_host::workspace::{Committed, Error, Meta, Quota, Space};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

pub const AGENT: [u8; 32] = [7; 32];
pub const QUOTA: Quota = Quota {
    bytes: 1 << 20,
    files: 5_000,
};

pub fn meta(act: u8) -> Meta {
    Meta {
        act: [act; 32],
        intent: [9; 32],
        at_ms: 1_700_000_000_000 + u64::from(act),
    }
}

/// What lies in a tree: a directory, a file's content, or a link's target; with the permission bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Directory(u32),
    File(u32, Vec<u8>),
    Link(Vec<u8>),
}

pub type Tree = BTreeMap<Vec<u8>, Node>;

pub struct Place {
    pub base: PathBuf,
}

impl Place {
    pub fn make(base: &Path) -> Self {
        for name in ["live", "store", "upper"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        Self { base: base.into() }
    }

    pub fn open(&self, boot: &str) -> Space {
        Space::open(self.fd("store"), AGENT, self.fd("live"), boot).unwrap()
    }

    pub fn fd(&self, name: &str) -> OwnedFd {
        File::open(self.base.join(name)).unwrap().into()
    }

    pub fn live(&self) -> PathBuf {
        self.base.join("live")
    }

    pub fn upper(&self) -> PathBuf {
        self.base.join("upper")
    }

    /// Commits what lies in `upper` and empties it.
    pub fn commit(&self, act: u8) -> Result<Committed, Error> {
        let upper = self.fd("upper");
        let done =
            self.open("boot")
                .commit_upper(std::os::fd::AsFd::as_fd(&upper), &meta(act), &QUOTA);
        fs::remove_dir_all(self.upper()).unwrap();
        fs::create_dir(self.upper()).unwrap();
        done
    }
}

pub fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            let data = fs::symlink_metadata(&path).unwrap();
            let mode = data.permissions().mode() & 0o777;
            let node = if data.is_dir() {
                left.push(path);
                Node::Directory(mode)
            } else if data.is_symlink() {
                Node::Link(
                    fs::read_link(&path)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                )
            } else {
                Node::File(mode, fs::read(&path).unwrap())
            };
            found.insert(name, node);
        }
    }
    found
}

pub fn put(root: &Path, path: &[u8], node: &Node) {
    let place = root.join(std::ffi::OsStr::from_bytes(path));
    match node {
        Node::Directory(mode) => {
            fs::create_dir_all(&place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
        }
        Node::File(mode, data) => {
            fs::write(&place, data).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
        }
        Node::Link(target) => {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &place).unwrap();
        }
    }
}

pub fn whiteout(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

#[allow(dead_code)] // of the two programs that use this, one needs it
pub fn opaque(path: &Path) {
    rustix::fs::setxattr(path, "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}

#[allow(dead_code)] // as `opaque`
fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map(|at| &path[..at])
}

/// Leaves in `upper` what overlayfs leaves there when `before` becomes `after`.
#[allow(dead_code)] // as `opaque`
pub fn overlay(upper: &Path, before: &Tree, after: &Tree) {
    let is_directory =
        |tree: &Tree, path: &[u8]| matches!(tree.get(path), Some(Node::Directory(_)));
    let lead = |path: &[u8]| {
        for end in (0..path.len()).filter(|at| path[*at] == b'/') {
            if let Some(node @ Node::Directory(_)) = after.get(&path[..end]) {
                put(upper, &path[..end], node);
            }
        }
    };
    for (path, node) in after {
        if before.get(path) != Some(node) {
            lead(path);
            put(upper, path, node);
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let lies_in_both = parent(path)
            .is_none_or(|above| is_directory(before, above) && is_directory(after, above));
        if lies_in_both {
            lead(path);
            whiteout(&upper.join(std::ffi::OsStr::from_bytes(path)));
        }
    }
}
