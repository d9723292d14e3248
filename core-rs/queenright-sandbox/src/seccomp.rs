//! The system call filter: the last wall before the program starts, the same for root and for an ordinary user.
//!
//! A deny list, because agents run arbitrary programs; what is newer than the list fails as if the kernel lacked it.
use crate::message::Kind;
use crate::step::{At, Refusal, Step};
use crate::sys::{self, Instruction};
use crate::syscalls::{
    self as calls, Arch, DENIED, DENIED_IN_PLACE, FIRST_UNKNOWN, NATIVE, Row, number,
};

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in struct seccomp_data; arguments are 64-bit, both architectures are little endian.
const AT_NUMBER: u32 = 0;
const AT_ARCH: u32 = 4;
const fn at_argument(index: u32) -> u32 {
    16 + 8 * index
}

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const fn errno(number: i32) -> u32 {
    0x0005_0000 | number.cast_unsigned()
}
const DENY: u32 = errno(libc::EPERM);
const UNKNOWN: u32 = errno(libc::ENOSYS);

const X32_BIT: u32 = 0x4000_0000;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. (NEWTIME is not a flag of clone.)
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// SOCK_TYPE_MASK: the rest of the type argument are SOCK_NONBLOCK and SOCK_CLOEXEC.
const SOCKET_TYPE: u32 = 0xf;
/// Keystrokes pushed into a terminal, the console's own, a line discipline: ways out of a shared terminal.
const TERMINAL_IOCTLS: [u32; 3] = [0x5412, 0x541c, 0x5423]; // TIOCSTI, TIOCLINUX, TIOCSETD

/// File leases and directory notices hold up or watch other processes' use of a file that can only be read.
const FILE_WATCHES: [u32; 2] = [1024, 1026]; // F_SETLEASE, F_NOTIFY

const UNIX: u32 = libc::AF_UNIX as u32;
const INET: u32 = libc::AF_INET as u32;
const INET6: u32 = libc::AF_INET6 as u32;
const NETLINK: u32 = libc::AF_NETLINK as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const STREAM: u32 = libc::SOCK_STREAM as u32;
const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;
const SEQPACKET: u32 = libc::SOCK_SEQPACKET as u32;

/// What else stands around the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walls {
    /// The usual for the kind: namespaces of its own for a cell and a command, none for a trusted executor.
    Usual(Kind),
    /// A command with a way out: TCP over IPv4 besides, whose ports Landlock holds.
    WayOut,
    /// Landlock only: an agent's program in the host's namespaces.
    LandlockOnly,
}

impl Walls {
    /// Whether sockets can be made and connected at all.
    fn sockets(self) -> bool {
        !matches!(self, Self::Usual(Kind::Cell) | Self::LandlockOnly)
    }
}

#[derive(Default)]
struct Filter(Vec<Instruction>);

impl Filter {
    fn add(&mut self, code: u16, jump_true: u8, jump_false: u8, value: u32) {
        self.0.push(Instruction {
            code,
            jump_true,
            jump_false,
            value,
        });
    }

    fn load(&mut self, offset: u32) {
        self.add(LOAD, 0, 0, offset);
    }

    fn end(&mut self, verdict: u32) {
        self.add(RETURN, 0, 0, verdict);
    }

    /// `if loaded == value { return verdict }`
    fn when_equal(&mut self, value: u32, verdict: u32) {
        self.add(JUMP_EQUAL, 0, 1, value);
        self.end(verdict);
    }

    fn when_at_least(&mut self, value: u32, verdict: u32) {
        self.add(JUMP_AT_LEAST, 0, 1, value);
        self.end(verdict);
    }

    fn when_any_bit(&mut self, bits: u32, verdict: u32) {
        self.add(JUMP_ANY_BIT, 0, 1, bits);
        self.end(verdict);
    }

    fn when_call(&mut self, row: Row, arch: Arch, verdict: u32) {
        if let Some(number) = number(row, arch) {
            self.when_equal(number, verdict);
        }
    }

    /// `if loaded is any of these { return DENY }`: one instruction a call, since what is installed for each sandbox is
    /// checked and compiled each time.
    fn deny(&mut self, rows: &[Row], arch: Arch) {
        let numbers: Vec<u32> = rows.iter().filter_map(|&row| number(row, arch)).collect();
        for (index, value) in numbers.iter().enumerate() {
            let left = u8::try_from(numbers.len() - 1 - index)
                .unwrap_or_else(|_| unreachable!("a list is shorter than 256"));
            self.add(JUMP_EQUAL, left, u8::from(left == 0), *value);
        }
        self.end(DENY);
    }

    /// `if this is call { body }`, where body ends in a verdict on every path.
    fn inside_call(&mut self, row: Row, arch: Arch, body: impl FnOnce(&mut Self)) {
        let Some(number) = number(row, arch) else {
            return;
        };
        let mut inner = Self::default();
        body(&mut inner);
        let length = u8::try_from(inner.0.len())
            .unwrap_or_else(|_| unreachable!("a body is a few instructions"));
        self.add(JUMP_EQUAL, 0, length, number);
        self.0.append(&mut inner.0);
    }
}

/// `socket(family, type, protocol)`: only the families and types of the kind.
fn socket(filter: &mut Filter, walls: Walls) {
    match walls {
        Walls::Usual(Kind::Cell) | Walls::LandlockOnly => filter.end(DENY),
        Walls::Usual(Kind::Command) => {
            filter.load(at_argument(0));
            filter.when_equal(UNIX, ALLOW);
            filter.end(DENY);
        }
        Walls::WayOut => {
            filter.load(at_argument(0));
            filter.when_equal(UNIX, ALLOW);
            filter.add(JUMP_EQUAL, 1, 0, INET);
            filter.end(DENY);
            filter.load(at_argument(1));
            filter.add(AND, 0, 0, SOCKET_TYPE);
            filter.add(JUMP_EQUAL, 1, 0, STREAM);
            filter.end(DENY);
            // A stream of another protocol (MPTCP, SCTP) has ports that Landlock does not look at.
            filter.load(at_argument(2));
            filter.when_equal(0, ALLOW);
            filter.when_equal(TCP, ALLOW);
            filter.end(DENY);
        }
        Walls::Usual(Kind::Executor) => {
            filter.load(at_argument(0));
            filter.when_equal(UNIX, ALLOW);
            // AF_INET and AF_INET6 go on to their type, NETLINK to its protocol, all else ends here.
            filter.add(JUMP_EQUAL, 5, 0, INET);
            filter.add(JUMP_EQUAL, 4, 0, INET6);
            filter.add(JUMP_EQUAL, 0, 2, NETLINK);
            filter.load(at_argument(2));
            filter.add(JUMP_EQUAL, 6, 0, 0); // NETLINK_ROUTE: what getaddrinfo asks
            filter.end(DENY);
            filter.load(at_argument(1));
            filter.add(AND, 0, 0, SOCKET_TYPE);
            filter.add(JUMP_EQUAL, 2, 0, STREAM);
            filter.add(JUMP_EQUAL, 1, 0, DATAGRAM);
            filter.end(DENY);
            filter.end(ALLOW);
        }
    }
}

/// A pair is connected to itself and reaches nobody; an event loop needs one to wake itself. A datagram socket of a
/// pair could still be aimed elsewhere, so a cell gets none.
fn socketpair(filter: &mut Filter, walls: Walls) {
    filter.load(at_argument(0));
    filter.add(JUMP_EQUAL, 1, 0, UNIX);
    filter.end(DENY);
    filter.load(at_argument(1));
    filter.add(AND, 0, 0, SOCKET_TYPE);
    filter.when_equal(STREAM, ALLOW);
    filter.when_equal(SEQPACKET, ALLOW);
    if walls.sockets() {
        filter.when_equal(DATAGRAM, ALLOW);
    }
    filter.end(DENY);
}

fn build(walls: Walls, arch: Arch) -> Vec<Instruction> {
    let mut filter = Filter::default();
    filter.load(AT_ARCH);
    let native = match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    };
    // Another architecture's numbers mean other calls: int 0x80, or a 32-bit program.
    filter.add(JUMP_EQUAL, 1, 0, native);
    filter.end(KILL);
    filter.load(AT_NUMBER);
    if arch == Arch::X86_64 {
        filter.when_at_least(X32_BIT, KILL);
    }
    filter.when_at_least(FIRST_UNKNOWN, UNKNOWN);
    filter.deny(DENIED, arch);
    // clone3's flags lie in memory, where a filter cannot look: without it the C library falls back to clone.
    filter.when_call(calls::CLONE3, arch, UNKNOWN);
    if !walls.sockets() {
        let sockets = [
            calls::CONNECT,
            calls::BIND,
            calls::LISTEN,
            calls::ACCEPT,
            calls::ACCEPT4,
        ];
        filter.deny(&sockets, arch);
    }
    if walls == Walls::LandlockOnly {
        filter.deny(DENIED_IN_PLACE, arch);
        filter.inside_call(calls::PRLIMIT64, arch, |body| {
            // Its own limits only: the kernel takes any process of the same user.
            body.load(at_argument(0));
            body.when_equal(0, ALLOW);
            body.end(DENY);
        });
        filter.inside_call(calls::FCNTL, arch, |body| {
            body.load(at_argument(1));
            for command in FILE_WATCHES {
                body.when_equal(command, DENY);
            }
            body.end(ALLOW);
        });
    }
    filter.inside_call(calls::CLONE, arch, |body| {
        body.load(at_argument(0));
        body.when_any_bit(NEW_NAMESPACES, DENY);
        body.end(ALLOW);
    });
    filter.inside_call(calls::SOCKET, arch, |body| socket(body, walls));
    filter.inside_call(calls::SOCKETPAIR, arch, |body| socketpair(body, walls));
    filter.inside_call(calls::IOCTL, arch, |body| {
        // The kernel reads the command as 32 bits, so the upper half of the argument cannot hide it.
        body.load(at_argument(1));
        for command in TERMINAL_IOCTLS {
            body.when_equal(command, DENY);
        }
        body.end(ALLOW);
    });
    filter.end(ALLOW);
    filter.0
}

/// Puts the filter on this thread for good. Everything after it is execve.
pub fn install(walls: Walls) -> Result<(), Refusal> {
    sys::seccomp(&build(walls, NATIVE)).at(Step::Seccomp, String::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer, by running the filter as it does.
    fn verdict(filter: &[Instruction], arch: u32, call: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&call.to_le_bytes());
        data.extend_from_slice(&arch.to_le_bytes());
        data.extend_from_slice(&[0; 8]);
        arguments
            .iter()
            .for_each(|argument| data.extend_from_slice(&argument.to_le_bytes()));
        let (mut at, mut loaded) = (0, 0u32);
        loop {
            let step = filter[at];
            let jump = |condition: bool| {
                usize::from(if condition {
                    step.jump_true
                } else {
                    step.jump_false
                })
            };
            at += 1 + match step.code {
                LOAD => {
                    let from = step.value as usize;
                    loaded = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                    0
                }
                AND => {
                    loaded &= step.value;
                    0
                }
                JUMP_EQUAL => jump(loaded == step.value),
                JUMP_AT_LEAST => jump(loaded >= step.value),
                JUMP_ANY_BIT => jump(loaded & step.value != 0),
                RETURN => return step.value,
                other => panic!("code {other:#x}"),
            };
        }
    }

    const X86: u32 = 0xc000_003e;
    const KINDS: [Walls; 5] = [
        Walls::Usual(Kind::Cell),
        Walls::Usual(Kind::Command),
        Walls::Usual(Kind::Executor),
        Walls::WayOut,
        Walls::LandlockOnly,
    ];

    fn call(kind: Walls, row: Row, arguments: &[u64]) -> u32 {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        let x86 = verdict(&build(kind, Arch::X86_64), X86, row.1, six);
        let arm = verdict(&build(kind, Arch::Aarch64), 0xc000_00b7, row.2, six);
        assert_eq!(x86, arm, "{} {arguments:?}", row.0);
        x86
    }

    #[test]
    fn every_denied_call_is_denied_in_every_kind_on_both_architectures() {
        for kind in KINDS {
            for &row in DENIED {
                for (arch, audit) in [(Arch::X86_64, X86), (Arch::Aarch64, 0xc000_00b7)] {
                    if let Some(number) = number(row, arch) {
                        assert_eq!(
                            verdict(&build(kind, arch), audit, number, [0; 6]),
                            DENY,
                            "{row:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn no_call_is_denied_that_is_on_no_list() {
        let special = [
            calls::CLONE,
            calls::CLONE3,
            calls::SOCKET,
            calls::SOCKETPAIR,
        ];
        let of = |rows: &[Row]| rows.iter().map(|row| row.1).collect::<Vec<_>>();
        let named = [of(DENIED), of(DENIED_IN_PLACE), of(&special)].concat();
        let quiet = [
            calls::CONNECT,
            calls::BIND,
            calls::LISTEN,
            calls::ACCEPT,
            calls::ACCEPT4,
        ];
        let socket = of(&quiet);
        for number in 0..FIRST_UNKNOWN {
            for walls in KINDS {
                let denied = named.contains(&number)
                    && (walls == Walls::LandlockOnly || !of(DENIED_IN_PLACE).contains(&number));
                let denied = denied || (!walls.sockets() && socket.contains(&number));
                let said = verdict(&build(walls, Arch::X86_64), X86, number, [0; 6]);
                if !denied {
                    assert_eq!(said, ALLOW, "{number} {walls:?}");
                }
            }
        }
    }

    #[test]
    fn another_architecture_and_x32_are_killed() {
        let filter = build(Walls::Usual(Kind::Command), Arch::X86_64);
        assert_eq!(verdict(&filter, 0x4000_0003, 1, [0; 6]), KILL); // i386
        assert_eq!(verdict(&filter, X86, X32_BIT | 1, [0; 6]), KILL);
        assert_eq!(verdict(&filter, X86, u32::MAX, [0; 6]), KILL);
    }

    #[test]
    fn calls_nobody_has_published_do_not_exist() {
        let filter = build(Walls::Usual(Kind::Command), Arch::X86_64);
        assert_eq!(verdict(&filter, X86, FIRST_UNKNOWN, [0; 6]), UNKNOWN);
        assert_eq!(verdict(&filter, X86, X32_BIT - 1, [0; 6]), UNKNOWN);
        assert_eq!(verdict(&filter, X86, 0, [0; 6]), ALLOW);
    }

    #[test]
    fn clone_makes_processes_but_no_namespaces() {
        for kind in KINDS {
            assert_eq!(call(kind, calls::CLONE, &[libc::SIGCHLD as u64]), ALLOW);
            let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
            assert_eq!(call(kind, calls::CLONE, &[thread as u64]), ALLOW);
            for flag in [
                libc::CLONE_NEWUSER,
                libc::CLONE_NEWNS,
                libc::CLONE_NEWPID,
                libc::CLONE_NEWNET,
            ] {
                assert_eq!(call(kind, calls::CLONE, &[flag as u64 | 17]), DENY);
            }
            assert_eq!(call(kind, calls::CLONE3, &[]), UNKNOWN);
        }
    }

    #[test]
    fn only_the_sockets_of_the_kind_can_be_made() {
        let flags = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
        for family in 0..64u64 {
            for kind_of_socket in 0..16u64 {
                for protocol in [0u64, 6, 9, 132, 262] {
                    let arguments = [family, kind_of_socket | flags, protocol];
                    let on_net = [2, 10].contains(&family) && [1, 2].contains(&kind_of_socket);
                    let route = family == 16 && protocol == 0;
                    let expect = |allowed: bool| if allowed { ALLOW } else { DENY };
                    assert_eq!(
                        call(Walls::Usual(Kind::Cell), calls::SOCKET, &arguments),
                        DENY
                    );
                    assert_eq!(
                        call(Walls::Usual(Kind::Command), calls::SOCKET, &arguments),
                        expect(family == 1)
                    );
                    assert_eq!(
                        call(Walls::Usual(Kind::Executor), calls::SOCKET, &arguments),
                        expect(family == 1 || on_net || route)
                    );
                    assert_eq!(call(Walls::LandlockOnly, calls::SOCKET, &arguments), DENY);
                    let tcp = family == 2 && kind_of_socket == 1 && [0, 6].contains(&protocol);
                    assert_eq!(
                        call(Walls::WayOut, calls::SOCKET, &arguments),
                        expect(family == 1 || tcp)
                    );
                    let pair = family == 1 && [1, 5].contains(&kind_of_socket);
                    assert_eq!(
                        call(Walls::Usual(Kind::Cell), calls::SOCKETPAIR, &arguments),
                        expect(pair)
                    );
                }
            }
        }
    }

    #[test]
    fn terminal_input_cannot_be_forged_even_with_high_bits() {
        for kind in KINDS {
            for command in TERMINAL_IOCTLS {
                assert_eq!(call(kind, calls::IOCTL, &[0, command.into()]), DENY);
                assert_eq!(
                    call(kind, calls::IOCTL, &[0, u64::from(command) | 1 << 32]),
                    DENY
                );
            }
            assert_eq!(call(kind, calls::IOCTL, &[0, 0x5401]), ALLOW);
        }
    }

    #[test]
    fn beside_landlock_alone_nothing_of_the_host_is_in_reach_by_number() {
        for &row in DENIED_IN_PLACE {
            for (arch, audit) in [(Arch::X86_64, X86), (Arch::Aarch64, 0xc000_00b7)] {
                if let Some(number) = number(row, arch) {
                    let filter = build(Walls::LandlockOnly, arch);
                    assert_eq!(verdict(&filter, audit, number, [0; 6]), DENY, "{row:?}");
                }
            }
        }
        for row in [calls::CONNECT, calls::BIND, calls::LISTEN, calls::ACCEPT] {
            assert_eq!(call(Walls::LandlockOnly, row, &[]), DENY);
        }
        assert_eq!(call(Walls::LandlockOnly, calls::PRLIMIT64, &[0]), ALLOW);
        assert_eq!(call(Walls::LandlockOnly, calls::PRLIMIT64, &[77]), DENY);
        assert_eq!(call(Walls::LandlockOnly, calls::FCNTL, &[3, 1024]), DENY);
        assert_eq!(call(Walls::LandlockOnly, calls::FCNTL, &[3, 1]), ALLOW);
        let usual = Walls::Usual(Kind::Command);
        assert_eq!(call(usual, calls::FCNTL, &[3, 1024]), ALLOW);
    }
}
