//! What crosses the control socket: one msgpack map a packet, every field known, nothing ignored.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::step::Refusal;

/// Largest packet either side sends. An environment and a few dozen binds are a tenth of it, and it is well below
/// the 208 KiB a socket buffer holds by default.
pub const MAX_PACKET: usize = 64 * 1024;

/// Characters of a refusal: it names what was wrong, which may itself be as long as a packet.
const MAX_MESSAGE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Agents' behaviours: no sockets but the inherited one.
    Cell,
    /// One agent's shell command over its workspace: Unix sockets, a network of its own with loopback only.
    Command,
    /// A trusted helper on the host's namespaces, held to exactly the paths it was given.
    Executor,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    pub src: String,
    pub dst: String,
    pub writable: bool,
}

/// Paths an executor may reach; nothing else of the file system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    pub read: Vec<String>,
    pub write: Vec<String>,
    /// Numbers among its descriptors: directories that no path leads to, to be read.
    pub descriptors: Vec<usize>,
}

/// A directory that a command sees at `dst` through an overlay: what it changes goes to an upper layer in memory, whose
/// directory is sent over the socket `reply` (a number among the descriptors, which the command does not get).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layered {
    pub src: String,
    pub dst: String,
    /// The most the upper layer holds.
    pub bytes: u64,
    pub inodes: u64,
    pub reply: usize,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub memory_bytes: u64,
    pub open_files: u64,
    pub file_bytes: u64,
    /// Cell and command only: an executor shares its user's count with everything else of that user.
    pub processes: Option<u64>,
    /// Cell and command only: the size of /tmp.
    pub tmp_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawn {
    #[serde(rename = "op")]
    _op: String,
    pub id: u64,
    pub kind: Kind,
    pub argv: Vec<String>,
    #[serde(deserialize_with = "each_name_once")]
    pub env: BTreeMap<String, String>,
    pub cwd: String,
    pub binds: Vec<Bind>,
    /// Directories inside that shall look empty, laid over the binds.
    pub hide: Vec<String>,
    pub landlock: Option<Reach>,
    /// Commands only.
    pub overlay: Option<Layered>,
    /// Commands only, tier full: a number among its descriptors, a socket that gets the listener of its way out.
    pub egress: Option<usize>,
    pub fds: usize,
    pub limits: Limits,
    /// Which kernel uid; required when the launcher is root, meaningless (so refused) otherwise.
    pub uid_slot: Option<u32>,
    pub hostname: Option<String>,
}

impl Spawn {
    /// A sandbox without a workspace, for looking whether this machine makes sandboxes.
    pub fn probe(kind: Kind, argv: Vec<String>, limits: Limits, uid_slot: Option<u32>) -> Self {
        Self {
            _op: String::new(),
            id: 0,
            kind,
            argv,
            env: BTreeMap::new(),
            cwd: "/".into(),
            binds: Vec::new(),
            hide: Vec::new(),
            landlock: None,
            overlay: None,
            egress: None,
            fds: 3,
            limits,
            uid_slot,
            hostname: Some("probe".into()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    #[serde(rename = "op")]
    _op: String,
    pub id: u64,
    pub argv: Vec<String>,
    #[serde(deserialize_with = "each_name_once")]
    pub env: BTreeMap<String, String>,
    pub cwd: String,
    pub output: String,
    pub pidfile: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KillFields {
    #[serde(rename = "op")]
    _op: String,
    id: u64,
}

/// Many at once: those that have ended meanwhile are what was wanted, and are passed over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KillManyFields {
    #[serde(rename = "op")]
    _op: String,
    ids: Vec<u64>,
}

#[derive(Debug)]
pub enum Request {
    Spawn(Box<Spawn>),
    Kill(u64),
    KillMany(Vec<u64>),
    Service(Box<Service>),
}

#[derive(Deserialize)]
struct Head {
    op: Option<String>,
    id: Option<u64>,
}

/// A packet that is no request, with the id it named if it could be read.
#[derive(Debug)]
pub struct Malformed {
    pub id: Option<u64>,
    pub refusal: Refusal,
}

fn whole<'de, T: Deserialize<'de>>(packet: &'de [u8]) -> Result<T, String> {
    let mut decoder = rmp_serde::Deserializer::new(std::io::Cursor::new(packet));
    let value = T::deserialize(&mut decoder).map_err(|error| error.to_string())?;
    match usize::try_from(decoder.position()) {
        Ok(end) if end == packet.len() => Ok(value),
        _ => Err("bytes after the end of the map".into()),
    }
}

/// A map's header. What is derived for a struct takes a list of its fields as well, which would be a second spelling.
fn is_map(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

/// The environment; a name twice is refused, because one of the two would be ignored.
fn each_name_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a map of text to text")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                match names.entry(name) {
                    Entry::Vacant(place) => drop(place.insert(value)),
                    Entry::Occupied(there) => {
                        return Err(A::Error::custom(format!("{:?} twice", there.key())));
                    }
                }
            }
            Ok(names)
        }
    }

    from.deserialize_map(Names)
}

pub fn decode(packet: &[u8]) -> Result<Request, Malformed> {
    if !is_map(packet) {
        return Err(Malformed {
            id: None,
            refusal: Refusal::request("not a request: not a map"),
        });
    }
    let head: Head = whole(packet).map_err(|why| Malformed {
        id: None,
        refusal: Refusal::request(format!("not a request: {why}")),
    })?;
    let id = head.id;
    let malformed = |why: String| Malformed {
        id,
        refusal: Refusal::request(why),
    };
    match head.op.as_deref() {
        Some("spawn") => whole(packet).map(|spawn| Request::Spawn(Box::new(spawn))),
        Some("service") => whole(packet).map(|service| Request::Service(Box::new(service))),
        Some("kill") => whole::<KillFields>(packet).map(|kill| Request::Kill(kill.id)),
        Some("kill_many") => {
            whole::<KillManyFields>(packet).map(|kill| Request::KillMany(kill.ids))
        }
        Some(other) => Err(format!(
            "unknown op {other:?}: known are spawn, kill, kill_many, service"
        )),
        None => Err("op is missing".into()),
    }
    .map_err(malformed)
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    step: &'a str,
    errno: i32,
    message: String,
    hint: &'a str,
}

#[derive(Serialize)]
struct ErrorReply<'a> {
    id: Option<u64>,
    error: ErrorFields<'a>,
}

#[derive(Serialize)]
struct Spawned {
    id: u64,
    pid: i32,
}

#[derive(Serialize)]
struct Served {
    id: u64,
    pid: i32,
    start_time: u64,
}

#[derive(Serialize)]
struct ExitFields {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// True when the memory watch ended it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    out_of_memory: bool,
    /// How many processes the kernel listed when it was told to end, at least.
    processes: usize,
}

#[derive(Serialize)]
struct ExitEvent {
    exit: ExitFields,
}

/// What the launcher says first: what it found, so that the client need not guess.
#[derive(Clone, Debug, Serialize)]
pub struct Hello {
    pub version: &'static str,
    pub landlock_abi: u32,
    pub root: bool,
    /// "hard" when a memory cgroup holds each sandbox, "soft" when the launcher watches and kills.
    pub memory: &'static str,
    /// "full", "bwrap" or "landlock-strict" (tier.rs).
    pub tier: &'static str,
    /// Why it is not "full"; empty if it is.
    pub instead_of: String,
}

#[derive(Serialize)]
struct HelloPacket<'a> {
    hello: &'a Hello,
}

/// Serialising to memory cannot fail for these types; an empty packet would be refused by the client.
fn packet<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

pub fn hello(hello: &Hello) -> Vec<u8> {
    packet(&HelloPacket { hello })
}

pub fn refused(id: Option<u64>, refusal: &Refusal) -> Vec<u8> {
    let (step, hint) = (refusal.step.name(), refusal.step.hint());
    packet(&ErrorReply {
        id,
        error: ErrorFields {
            step,
            errno: refusal.errno,
            message: refusal.message().chars().take(MAX_MESSAGE).collect(),
            hint,
        },
    })
}

pub fn spawned(id: u64, pid: i32) -> Vec<u8> {
    packet(&Spawned { id, pid })
}

pub fn served(id: u64, pid: i32, start_time: u64) -> Vec<u8> {
    packet(&Served {
        id,
        pid,
        start_time,
    })
}

pub fn exited(id: u64, end: crate::sys::End, out_of_memory: bool, processes: usize) -> Vec<u8> {
    let (code, signal) = match end {
        crate::sys::End::Code(code) => (Some(code), None),
        crate::sys::End::Signal(signal) => (None, Some(signal)),
    };
    packet(&ExitEvent {
        exit: ExitFields {
            id,
            code,
            signal,
            out_of_memory,
            processes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_ops_and_fields_are_refused_with_their_name() {
        #[derive(Serialize)]
        struct Odd {
            op: &'static str,
            id: u64,
            extra: bool,
        }
        let bytes = rmp_serde::to_vec_named(&Odd {
            op: "kill",
            id: 7,
            extra: true,
        })
        .unwrap();
        let malformed = decode(&bytes).unwrap_err();
        assert_eq!(malformed.id, Some(7));
        assert!(
            malformed.refusal.message().contains("extra"),
            "{malformed:?}"
        );
        let bytes = rmp_serde::to_vec_named(&Odd {
            op: "dance",
            id: 7,
            extra: true,
        })
        .unwrap();
        assert!(
            decode(&bytes)
                .unwrap_err()
                .refusal
                .message()
                .contains("dance")
        );
    }

    #[test]
    fn a_refusal_is_a_small_packet_whatever_it_names() {
        let long = format!("{:?}", "\u{1b}".repeat(MAX_PACKET));
        let packet = refused(Some(1), &Refusal::request(long));
        assert!(packet.len() < MAX_PACKET / 8, "{}", packet.len());
    }

    #[test]
    fn bytes_after_the_map_are_refused() {
        #[derive(Serialize)]
        struct Kill {
            op: &'static str,
            id: u64,
        }
        let mut bytes = rmp_serde::to_vec_named(&Kill { op: "kill", id: 7 }).unwrap();
        assert!(matches!(decode(&bytes), Ok(Request::Kill(7))));
        bytes.push(0xc0);
        assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_list_of_a_requests_fields_is_no_request() {
        let bytes = rmp_serde::to_vec(&("kill", 7)).unwrap();
        let malformed = decode(&bytes).unwrap_err();
        assert!(malformed.refusal.message().contains("not a map"));
    }

    #[test]
    fn a_name_twice_in_the_environment_is_refused() {
        #[derive(Serialize)]
        struct Fields<E> {
            op: &'static str,
            id: u64,
            argv: [&'static str; 1],
            env: E,
            cwd: &'static str,
            output: &'static str,
            pidfile: &'static str,
        }
        struct Twice;
        impl Serialize for Twice {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_map([("PATH", "/usr/bin"), ("PATH", "/tmp")])
            }
        }
        fn with<E: Serialize>(env: E) -> Vec<u8> {
            let (cwd, output, pidfile) = ("/", "/o", "/p");
            rmp_serde::to_vec_named(&Fields {
                op: "service",
                id: 1,
                argv: ["/x"],
                env,
                cwd,
                output,
                pidfile,
            })
            .unwrap()
        }
        assert!(decode(&with(BTreeMap::from([("PATH", "/usr/bin")]))).is_ok());
        let malformed = decode(&with(Twice)).unwrap_err();
        assert!(
            malformed.refusal.message().contains("\"PATH\" twice"),
            "{malformed:?}"
        );
    }

    #[test]
    fn no_prefix_of_garbage_crashes_the_decoder() {
        for first in 0..=255u8 {
            for second in [0u8, 1, 0x7f, 0x80, 0xdf, 0xff] {
                assert!(decode(&[first, second, 0xff, 0xff, 0xff, 0xff]).is_err());
            }
        }
        assert!(decode(&[0x91; 60_000]).is_err());
    }
}
