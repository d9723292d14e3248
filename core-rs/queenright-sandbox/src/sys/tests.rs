//! The calls that read and write raw memory, over real descriptors: what AddressSanitizer watches in `make asan`.
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::*;

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// A directory of this test's own, gone at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("queenright-sys-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_packet_brings_its_descriptor_and_nothing_else() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (read_end, write_end) = pipe().unwrap();
    send(ours.as_fd(), b"take this", Some(write_end.as_fd())).unwrap();
    send(ours.as_fd(), b"", None).unwrap();
    let mut buffer = [0; 64];
    let packet = receive(theirs.as_fd(), &mut buffer).unwrap();
    assert_eq!(&buffer[..packet.length], b"take this");
    assert!(!packet.cut);
    assert_eq!(packet.descriptors.len(), 1);
    assert_ne!(packet.descriptors[0].as_raw_fd(), write_end.as_raw_fd());
    assert_eq!(
        write(packet.descriptors[0].as_fd(), b"through it").unwrap(),
        10
    );
    let mut said = [0; 16];
    let count = read(read_end.as_fd(), &mut said).unwrap();
    assert_eq!(&said[..count], b"through it");
    let empty = receive(theirs.as_fd(), &mut buffer).unwrap();
    assert_eq!((empty.length, empty.descriptors.len()), (0, 0));
    let nothing = receive(theirs.as_fd(), &mut buffer).err().unwrap();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_packet_longer_than_the_buffer_is_called_cut() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    send(ours.as_fd(), &[7; 100], None).unwrap();
    let mut buffer = [0; 10];
    let packet = receive(theirs.as_fd(), &mut buffer).unwrap();
    assert!(packet.cut);
    assert_eq!((packet.length, buffer), (10, [7; 10]));
    assert!(receive(theirs.as_fd(), &mut []).is_err());
}

#[test]
fn a_full_socket_says_so_and_a_peer_is_known_by_its_kind_and_pid() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let full = (0..100_000).find_map(|_| send(ours.as_fd(), &[0; 1000], None).err());
    assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(socket_type(theirs.as_fd()).unwrap(), libc::SOCK_DGRAM);
    let (stream, _other) = UnixStream::pair().unwrap();
    assert_eq!(socket_type(stream.as_fd()).unwrap(), libc::SOCK_STREAM);
    assert_eq!(peer_pid(stream.as_fd()).unwrap(), getpid());
}

#[test]
fn descriptors_are_duplicated_waited_for_and_read_to_the_end() {
    let (read_end, write_end) = pipe().unwrap();
    assert_eq!(poll(read_end.as_fd(), libc::POLLIN, 0).unwrap(), 0);
    let copy = duplicate_from(read_end.as_fd(), 50).unwrap();
    assert!(copy.as_raw_fd() >= 50);
    write(write_end.as_fd(), b"x").unwrap();
    assert_eq!(
        poll(copy.as_fd(), libc::POLLIN, 1000).unwrap(),
        libc::POLLIN
    );
    drop(write_end);
    let mut all = Vec::new();
    fs::File::from(copy).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"x");
    assert!(adopt(1 << 20).is_err(), "a closed number is refused");
}

#[test]
fn no_link_and_no_climbing_leads_out_of_a_directory() {
    let place = Place::new("beneath");
    fs::create_dir_all(place.0.join("a/b")).unwrap();
    symlink("/etc", place.0.join("a/out")).unwrap();
    let root = open_path(&c(&place.0)).unwrap();
    assert!(is_directory(root.as_fd()).unwrap());
    assert!(open_directory_in(root.as_fd(), c"a/b").is_ok());
    for led_astray in [
        c"a/out",
        c"a/out/ssl",
        c"..",
        c"a/../..",
        c"/etc",
        c"a/none",
    ] {
        assert!(
            open_directory_in(root.as_fd(), led_astray).is_err(),
            "{led_astray:?}"
        );
    }
    assert!(open_path(&c(&place.0.join("a/out/passwd"))).is_err());
    mkdirat(root.as_fd(), c"made", 0o700).unwrap();
    symlinkat(c"made", root.as_fd(), c"link").unwrap();
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let file = openat(root.as_fd(), c"made/file", flags, 0o600).unwrap();
    assert!(!is_directory(file.as_fd()).unwrap());
    fs::File::from(file).write_all(b"here").unwrap();
    assert_eq!(fs::read(place.0.join("link/file")).unwrap(), b"here");
}
