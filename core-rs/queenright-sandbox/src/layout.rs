//! What of the host a minimal root shows: programs and libraries, five devices, a few files of /etc.
use std::path::{Path, PathBuf};

use crate::message::Kind;
use crate::step::{At, Refusal, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Access {
    ReadOnly,
    Writable,
    Device,
}

/// One piece of the host's file tree in the sandbox. `source` holds no symbolic link; `target` is relative to the root.
#[derive(Clone, Debug)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub access: Access,
}

/// The host's part of every sandbox, found once when the launcher starts.
#[derive(Clone, Debug)]
pub struct Layout {
    pub mounts: Vec<Mount>,
    /// (target, name): top-level links of a merged /usr, the time zone.
    pub links: Vec<(PathBuf, String)>,
}

const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
const TOP: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const ETC: [&str; 2] = ["etc/ld.so.cache", "etc/alternatives"];
const ETC_COMMAND: [&str; 2] = ["etc/ssl/certs", "etc/ssl/openssl.cnf"];

impl Layout {
    pub fn find(kind: Kind) -> Result<Self, Refusal> {
        let mut layout = Self {
            mounts: Vec::new(),
            links: Vec::new(),
        };
        layout.show("usr", Access::ReadOnly)?;
        for name in TOP {
            let path = Path::new("/").join(name);
            match std::fs::read_link(&path) {
                Ok(target) if under_usr(&target) => layout.links.push((target, name.into())),
                _ if path.is_dir() => layout.show(name, Access::ReadOnly)?,
                _ => {}
            }
        }
        let etc = ETC
            .iter()
            .chain(ETC_COMMAND.iter().filter(|_| kind == Kind::Command));
        for name in etc {
            if Path::new("/").join(name).exists() {
                layout.show(name, Access::ReadOnly)?;
            }
        }
        if let Ok(target) = std::fs::read_link("/etc/localtime")
            && under_usr(&target)
        {
            layout.links.push((target, "etc/localtime".into()));
        }
        for name in DEVICES {
            layout.show(&format!("dev/{name}"), Access::Device)?;
        }
        Ok(layout)
    }

    fn show(&mut self, name: &str, access: Access) -> Result<(), Refusal> {
        let path = Path::new("/").join(name);
        let source = path
            .canonicalize()
            .at(Step::Source, || path.display().to_string())?;
        self.mounts.push(Mount {
            source,
            target: name.into(),
            access,
        });
        Ok(())
    }
}

fn under_usr(target: &Path) -> bool {
    let climbs = target
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    (target.starts_with("usr") || target.starts_with("/usr")) && !climbs
}

/// A path inside the sandbox, as written by the caller: absolute, plain, and not where the launcher mounts its own.
pub fn target(what: &str, path: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| Err(Refusal::request(format!("{what} {path:?} {why}")));
    let Some(relative) = path.strip_prefix('/') else {
        return refuse("is not absolute");
    };
    if relative
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
        || relative.contains('\0')
    {
        return refuse("is not a plain path");
    }
    match relative.split('/').next() {
        Some("proc" | "dev") => refuse("is the launcher's own"),
        _ => Ok(relative.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_plain_and_outside_proc_and_dev() {
        for good in ["/workspace", "/a,b:c/d", "/usr/local/x", "/tmp/x"] {
            assert_eq!(format!("/{}", target("x", good).unwrap()), good);
        }
        for bad in [
            "",
            "/",
            "x",
            "/a//b",
            "/a/../b",
            "/./a",
            "/proc/1",
            "/dev/null",
            "/a/",
            "/a\0b",
        ] {
            assert!(target("x", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_out_of_usr_is_not_copied() {
        assert!(under_usr(Path::new("usr/lib")));
        assert!(!under_usr(Path::new("usr/../root")));
        assert!(!under_usr(Path::new("../root")));
    }
}
