//! The control socket and its descriptors; what a network namespace needs.
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::{check, done, owned};

/// Descriptors that fit one message.
pub const MAX_DESCRIPTORS: usize = 16;

/// Room for one SCM_RIGHTS message of MAX_DESCRIPTORS, aligned as cmsghdr needs.
#[repr(C, align(8))]
struct ControlBuffer([u8; 128]);

/// One received packet.
pub struct Packet {
    pub length: usize,
    pub descriptors: Vec<OwnedFd>,
    /// The packet was longer than the buffer, or carried more descriptors than fit.
    pub cut: bool,
}

/// Receives one packet and its descriptors (close-on-exec). A length of 0 is the end of the stream.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Packet> {
    let mut control = ControlBuffer([0; 128]);
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is plain data; zero is a valid value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: header, vector and both buffers are valid for the call.
    let length = check(unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &mut header,
            libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT,
        )
    } as libc::c_long)?;
    let mut descriptors = Vec::new();
    // SAFETY: the CMSG functions walk the control buffer within msg_controllen, which the kernel has set.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&header);
        while !item.is_null() {
            if (*item).cmsg_level == libc::SOL_SOCKET && (*item).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*item).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(item).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    // Each is a descriptor the kernel has just given us.
                    descriptors.push(OwnedFd::from_raw_fd(first.add(index).read_unaligned()));
                }
            }
            item = libc::CMSG_NXTHDR(&header, item);
        }
    }
    Ok(Packet {
        length: usize::try_from(length).map_err(io::Error::other)?,
        descriptors,
        cut: header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

/// Sends one packet with at most one descriptor; EAGAIN when the socket is full.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut control = ControlBuffer([0; 128]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: msghdr is plain data; zero is a valid value of it.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        header.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: the control buffer is larger than one descriptor needs, and aligned.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let item = libc::CMSG_FIRSTHDR(&header);
            (*item).cmsg_level = libc::SOL_SOCKET;
            (*item).cmsg_type = libc::SCM_RIGHTS;
            (*item).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(item)
                .cast::<RawFd>()
                .write_unaligned(descriptor.as_raw_fd());
        }
    }
    // SAFETY: header, vector and both buffers are valid for the call.
    done(unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &header,
            libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
        )
    } as libc::c_long)
}

fn socket_option<T>(socket: BorrowedFd<'_>, option: libc::c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let place = ptr::from_mut(&mut value).cast();
    let number = socket.as_raw_fd();
    // SAFETY: `value` is valid to write for `length` bytes; callers use plain data.
    let got = unsafe { libc::getsockopt(number, libc::SOL_SOCKET, option, place, &mut length) };
    done(got.into())?;
    Ok(value)
}

/// The type of a socket (SOCK_SEQPACKET, ...).
pub fn socket_type(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    socket_option(socket, libc::SO_TYPE, 0)
}

/// The pid of the process that made this socket pair.
pub fn peer_pid(socket: BorrowedFd<'_>) -> io::Result<libc::pid_t> {
    let nobody = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    socket_option(socket, libc::SO_PEERCRED, nobody).map(|peer| peer.pid)
}

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: integers only.
    let socket = owned(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    // SAFETY: ifreq is plain data; zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *slot = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) }.into())
}

/// A TCP socket that listens on 127.0.0.1 of this network namespace.
pub fn listen_on_loopback(port: u16, backlog: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let socket = owned(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is valid for the call and `length` is its size.
    done(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) }.into())?;
    // SAFETY: integers only.
    done(unsafe { libc::listen(socket.as_raw_fd(), backlog) }.into())?;
    Ok(socket)
}

pub fn sethostname(name: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are of the same slice.
    done(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())
}
